import { lstat, mkdir, realpath, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Catalog } from '../../types/catalog.js'
import { FileError, LoadItError, type MillraceError } from '../base/errors.js'
import { isSerializerName } from '../codec/serializer.js'
import { syncFolder } from '../io/temporary.js'
import { openCatalog } from '../store/catalog.js'
import { memoryCatalog } from '../store/catalog-memory.js'
import { Books, type Head, type HeadFields } from './catalog.js'
import { Dataset } from './dataset.js'
import { asOurs, isFull } from './faults.js'
import { type FileOps, nodeFiles } from './file-ops.js'
import { ShardKit } from './kit.js'
import type { Settings } from './options.js'
import { readFooters } from './rebuild.js'
import type { Remote } from './remote-face.js'
import { sweepShards } from './sweep.js'

/** The catalog's name in its folder. */
export const CATALOG = 'catalog.mdb'
/** The folder of shards. */
export const SHARDS = 'shards'
/** Everybody may write. */
const WORLD_WRITABLE = 0o002

/** Makes the remote side of a dataset; there where `remote.ts` is. */
export type OpenRemote = <T>(settings: Settings<T>, kit: ShardKit<T>) => Remote<T> | undefined

/**
 * Opens the dataset in a folder, or begins one. Rejects with `MILL_DATASET_MISMATCH`, `MILL_CATALOG_DAMAGED`,
 * `MILL_PATH_REFUSED`, `MILL_CODEC_…`, and `signal.reason`.
 */
export async function openDataset<T>(
  given: Settings<T>,
  openRemote: OpenRemote | undefined,
  files: FileOps = nodeFiles,
): Promise<{ data: Dataset<T>; warning: MillraceError | undefined }> {
  given.signal?.throwIfAborted()
  const settings = { ...given, root: await makeFolders(given.root, given.sync) }
  const path = join(settings.root, CATALOG)
  try {
    const catalog = await openCatalog(path)
    return { data: await openWith(settings, openRemote, files, catalog, false), warning: undefined }
  } catch (error) {
    const isReadOnly = (error as { code?: unknown }).code === 'MILL_READ_ONLY'
    if (!isReadOnly && !isFull(error)) throw error
    const data = await openWith(settings, openRemote, files, memoryCatalog(), true)
    const fields = { path, cause: error }
    const full = new LoadItError('MILL_DISK_FULL', `${path}: no room for the catalog, nothing is stored`, fields)
    return { data, warning: isReadOnly ? undefined : full }
  }
}

/** The same with the books in this catalog, which may be one that nobody else sees. */
async function openWith<T>(
  settings: Settings<T>,
  openRemote: OpenRemote | undefined,
  files: FileOps,
  catalog: Catalog,
  isReadOnly: boolean,
): Promise<Dataset<T>> {
  const { root, signal } = settings
  const folder = join(root, SHARDS)
  const books = new Books(catalog, { root, leaseMs: settings.leaseMs })
  let kit: ShardKit<T> | undefined
  try {
    signal?.throwIfAborted()
    if (books.stored() === undefined) {
      // The catalog was lost, or can't be used: what the shards say of themselves is enough.
      const found = await readFooters(folder, files).catch(nothingThere)
      if (found.head !== undefined) books.restore(found.head, found.shards, found.lastGen)
    }
    let head = books.stored()
    let wrong = head === undefined ? undefined : mismatch(settings, head)
    if (wrong !== undefined && !(settings.reset && !isReadOnly)) throw wrong
    const isOther = wrong !== undefined
    if (isOther) head = undefined
    kit = await makeKit(settings, head, files)
    const remote = openRemote?.(settings, kit)
    if (head === undefined) {
      const far = await remote?.head(signal)
      if (far !== undefined) {
        wrong = mismatch(settings, { ...far, format: 1, id: '' })
        if (wrong !== undefined) throw wrong
        kit = await makeKit(settings, far, files)
      }
      const fields = headOf(settings, kit, far?.shardLength)
      head = isOther ? books.reset(fields) : books.writeHead(fields)
      // Somebody else may have been faster, with other ideas.
      wrong = mismatch(settings, head)
      if (wrong !== undefined) throw wrong
    } else if (head.shardLength === 0 && settings.shardLength !== undefined) {
      books.setShardLength(settings.shardLength)
    }
    signal?.throwIfAborted()
    const data = new Dataset<T>(settings, { kit, books, remote: openRemote?.(settings, kit), isReadOnly })
    if (!isReadOnly) await tidy(data, folder)
    return data
  } catch (error) {
    await kit?.close()
    await books.close()
    throw error
  }
}

/** Removes what dead processes have left, and trims to the limit. What can't be done now is done the next time. */
async function tidy<T>(data: Dataset<T>, folder: string): Promise<void> {
  const { memoryLimit } = data.settings
  try {
    await sweepShards(folder, data.books, data.kit.files)
  } catch (error) {
    data.warn(asOurs(error, folder))
  }
  if (memoryLimit !== undefined && data.canMake) data.evicted(data.write(() => data.books.trim(memoryLimit)) ?? [])
}

/** The folder, as it is really named, with its folder of shards; `sync`: a power cut does not take them again. */
async function makeFolders(path: string, sync: boolean): Promise<string> {
  try {
    const first = await mkdir(path, { recursive: true, mode: 0o700 })
    const root = await realpath(path)
    const shards = join(root, SHARDS)
    await mkdir(shards, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST' && !isRefused(error) && !isFull(error)) throw error
    })
    if (sync) await syncNames(shards, first === undefined ? shards : await realpath(first))
    refuseOpen(root, (await stat(root)).mode)
    const status = await lstat(shards).catch(absent)
    if (status === undefined) return root
    if (!status.isDirectory()) throw refused(shards, 'is no folder of its own')
    refuseOpen(shards, status.mode)
    return root
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR' || (error as NodeJS.ErrnoException).code === 'EEXIST') {
      throw refused(path, 'is no folder', error)
    }
    throw asOurs(error, path)
  }
}

/** Makes the name of a folder last, and those of the folders above it up to `first`, as far as they may be read. */
async function syncNames(path: string, first: string): Promise<void> {
  for (let at = path; ; at = dirname(at)) {
    await syncFolder(at).catch((error: NodeJS.ErrnoException) => {
      if (!isRefused(error)) throw error
    })
    if (at === first || at === dirname(at)) return
  }
}

function refuseOpen(path: string, mode: number): void {
  if (process.platform !== 'win32' && (mode & WORLD_WRITABLE) !== 0) {
    throw refused(path, 'can be written by everybody')
  }
}

function refused(path: string, what: string, cause?: unknown): FileError {
  return new FileError('MILL_PATH_REFUSED', `${path} ${what}: it is not used`, {
    path,
    ...(cause !== undefined && { cause }),
  })
}

const isRefused = (error: NodeJS.ErrnoException): boolean =>
  error.code === 'EROFS' || error.code === 'EACCES' || error.code === 'EPERM'

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}

function nothingThere(error: NodeJS.ErrnoException): { head: undefined; shards: []; lastGen: number } {
  if (error.code !== 'ENOENT') throw error
  return { head: undefined, shards: [], lastGen: 0 }
}

/** What is given is compared with what is there; what isn't given is taken as it is. */
function mismatch<T>(settings: Settings<T>, head: Head): LoadItError | undefined {
  const { root } = settings
  const fields: [string, unknown, unknown][] = [
    ['format', 1, head.format],
    ['serializer', settings.serializer, head.serializer],
    ['compression', settings.compression, head.compression],
    ['fingerprint', settings.fingerprint, head.fingerprint],
    ['maxShardLength', head.shardLength === 0 ? undefined : settings.shardLength, head.shardLength],
  ]
  for (const [field, expected, found] of fields) {
    if (expected === undefined || expected === found) continue
    const message = `${root} holds another dataset: ${field} is ${String(found)}, not ${String(expected)}`
    return new LoadItError('MILL_DATASET_MISMATCH', message, { field, expected, found, root })
  }
  if (settings.serializer === undefined && !isSerializerName(head.serializer)) {
    const message = `${root} was made with a serializer of its own: options.serializer must be ${head.serializer}`
    const wrong = { field: 'serializer', expected: undefined, found: head.serializer, root }
    return new LoadItError('MILL_DATASET_MISMATCH', message, wrong)
  }
  return undefined
}

function makeKit<T>(
  settings: Settings<T>,
  head: { serializer: string; compression: string; fingerprint?: string | undefined } | undefined,
  files: FileOps,
): Promise<ShardKit<T>> {
  return ShardKit.create<T>({
    serializer: settings.ownSerializer ?? head?.serializer,
    compression: settings.ownCompression ?? head?.compression,
    fingerprint: settings.fingerprint ?? head?.fingerprint,
    cache: { bytes: settings.cacheBytes, form: settings.decoded ? 'decoded' : 'encoded' },
    files,
  })
}

function headOf<T>(settings: Settings<T>, kit: ShardKit<T>, shardLength = 0): HeadFields {
  const { serializer, compression, fingerprint } = kit.meta
  return { serializer, compression, fingerprint, shardLength: settings.shardLength ?? shardLength }
}
