import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { StoreError } from '../base/errors.js'
import { unpackFailure } from './failure.js'
import { syncFileSync, syncFolderSync } from './folder-files.js'
import { exchange, MOST_MAPS, underLock } from './folder-swap.js'
import { DONE, decodeJson, FAILED, FrameReader } from './frames.js'
import { FIRST_MAP } from './ids.js'
import { openEnvironment } from './lmdb-environment.js'
import { DATA_FILE, damaged, storeFault } from './look.js'

/** A copy of a folder as it is at one moment, whoever writes to it. */
export interface CopyArguments {
  readonly command: 'copy'
  readonly from: string
  /** A new folder. */
  readonly to: string
  /** Without the pages that are not in use. */
  readonly compact: boolean
}

/** A folder is replaced by a copy of itself without the pages that are not in use. */
export interface CompactArguments {
  readonly command: 'compact'
  readonly path: string
  /** A new name beside it. */
  readonly made: string
}

/** Bytes of the data file. */
export interface Compacted {
  readonly before: number
  readonly after: number
}

export async function runCopy({ from, to, compact }: CopyArguments): Promise<Compacted> {
  const env = await openEnvironment(from, READING)
  try {
    mkdirSync(to, { mode: 0o700 })
    await env.copyTo(to, compact)
    chmodSync(join(to, DATA_FILE), statSync(join(from, DATA_FILE)).mode & 0o777)
  } catch (error) {
    throw storeFault(to, error)
  } finally {
    await env.close()
  }
  await checkCopy(to)
  syncFileSync(join(to, DATA_FILE))
  syncFolderSync(to)
  return { before: sizeOf(from), after: sizeOf(to) }
}

export async function runCompact({ path, made }: CompactArguments): Promise<Compacted> {
  return underLock(path, () => {
    const before = sizeOf(path)
    // Nobody can commit meanwhile, so that it is a copy of the last state; in a process of its own, since this one must
    // not do anything else while it has the lock.
    copyInChild({ command: 'copy', from: path, to: made, compact: true })
    const after = sizeOf(made)
    exchange(path, made)
    return { before, after }
  })
}

const READING = { readonly: true, maxMaps: MOST_MAPS } as const

function sizeOf(folder: string): number {
  return statSync(join(folder, DATA_FILE)).size
}

/** What was copied is read again: each table has as many entries as it says. */
async function checkCopy(folder: string): Promise<void> {
  const env = await openEnvironment(folder, READING)
  try {
    let id = FIRST_MAP
    for (const name of env.tableNames()) {
      const table = env.table(name, id++)
      const counted = table?.countSync({})
      if (table?.size !== counted) throw damaged(folder, `of ${table?.size} entries ${counted} were copied`)
    }
  } finally {
    await env.close()
  }
}

function copyInChild(args: CopyArguments): void {
  const program = fileURLToPath(new URL('./side-process.js', import.meta.url))
  const child = spawnSync(process.execPath, [program, JSON.stringify(args)], { stdio: ['ignore', 'pipe', 'pipe'] })
  let done = false
  const reader = new FrameReader((type, _, body) => {
    if (type === FAILED) throw unpackFailure(body)
    if (type === DONE) done = decodeJson(body) !== undefined
  })
  if (child.stdout !== null) reader.push(child.stdout)
  if (done) return
  const { status: exitCode, signal, error: cause } = child
  const fields = { path: args.from, exitCode, signal, ...(cause !== undefined && { cause }) }
  throw new StoreError('MILL_WRITER_LOST', `${args.from}: the process that copies it ended without a copy`, fields)
}
