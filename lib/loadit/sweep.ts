import { join } from 'node:path'
import { isMillraceError } from '../base/errors.js'
import type { Books } from './catalog.js'
import type { FileOps } from './file-ops.js'
import { isOrphan, me } from './lease.js'
import { parseShardName, type ShardName } from './shard-names.js'

/**
 * Removes what dead processes have left in the folder of shards: files in work that nobody works on, and finished ones that
 * the catalog doesn't know, or knows no more. Only regular files whose names are exactly ours. Resolves to how many have
 * gone; what can't be removed stays for the next time. Rejects only where the folder can't be read.
 */
export async function sweepShards(folder: string, books: Books, files: FileOps): Promise<number> {
  // The names first: what becomes known after them is in the books by then.
  const names = await files.readdir(folder)
  books.refresh()
  if (unwanted(names, books).length === 0) return 0
  let left: string[]
  try {
    // Whoever opens a catalog can hide the last commit from readers for a moment, but from no transaction: see last-commit.ts.
    left = books.settled(() => unwanted(names, books))
  } catch (error) {
    if (!isMillraceError(error)) throw error
    // A catalog that cannot be written to now, on a full disk, say: what lies there is removed another time.
    return 0
  }
  let removed = 0
  for (const name of left) if (await removeFile(join(folder, name), files)) removed++
  return removed
}

/** Names of ours that the books know nothing of. */
function unwanted(names: readonly string[], books: Books): string[] {
  const { host } = me()
  const current = new Map<number, number>()
  for (const [start, { state, gen }] of books.records()) if (state === 'ready') current.set(start, gen)
  // One whose time is up may still be published by its owner, as long as nobody has taken it over.
  const inWork = new Map<number, { gen: number; token: string }>()
  for (const [start, lease] of books.leases()) if (!isOrphan(lease, host)) inWork.set(start, lease)
  const isWanted = ({ start, gen, token }: ShardName): boolean => {
    const lease = inWork.get(start)
    if (token !== undefined) return lease?.token === token
    return current.get(start) === gen || lease?.gen === gen
  }
  return names.filter((name) => {
    const parsed = parseShardName(name)
    return parsed !== undefined && !isWanted(parsed)
  })
}

/** Removes a regular file, nothing else; false: it is still there, or was gone. Never rejects. */
export async function removeFile(path: string, files: FileOps): Promise<boolean> {
  try {
    if ((await files.lstat(path))?.isFile !== true) return false
    await files.unlink(path)
    return true
  } catch {
    return false
  }
}
