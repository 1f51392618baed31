import { rename, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { FileError } from '../base/errors.js'
import { openCatalog } from '../store/catalog.js'
import { Books } from './catalog.js'
import { asOurs } from './faults.js'
import { nodeFiles } from './file-ops.js'
import { CATALOG, SHARDS } from './open.js'
import { readFooters } from './rebuild.js'
import { removeFile } from './sweep.js'

/** Of the leases of the catalog that is made; nobody takes one. */
const LEASE_MS = 10_000

/** Moves the catalog aside, to `catalog.mdb.bad-<milliseconds>`, and makes a new one of the footers of all shards. */
export async function rebuild(path: string): Promise<{ shards: number; dropped: number }> {
  const root = resolve(path)
  const folder = join(root, SHARDS)
  const files = nodeFiles
  try {
    if (!(await stat(folder)).isDirectory())
      throw new FileError('MILL_PATH_REFUSED', `${folder} is no folder`, { path })
    const { head, shards, dropped, lastGen } = await readFooters(folder, files)
    const catalog = join(root, CATALOG)
    const aside = `${catalog}.bad-${Date.now()}`
    await rename(catalog, aside).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
    })
    // What readers have noted down there means nothing for another file.
    await removeFile(`${catalog}-lock`, files)
    const books = new Books(await openCatalog(catalog), { root, leaseMs: LEASE_MS })
    try {
      if (head !== undefined) books.restore(head, shards, lastGen)
    } finally {
      await books.close()
    }
    for (const name of dropped) await removeFile(join(folder, name), files)
    return { shards: shards.length, dropped: dropped.length }
  } catch (error) {
    throw asOurs(error, root)
  }
}
