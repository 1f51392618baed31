import { constants } from 'node:fs'
import { link, lstat, mkdir, open, rename, unlink } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { HttpStoreOptions, ShardStore } from '../../types/load-it.js'
import { checkSignal } from '../base/abort.js'
import { ArgumentError, FileError } from '../base/errors.js'
import { createTemporary, sweepOnce } from '../io/temporary.js'
import { getPart, webOf } from './remote-http.js'
import { folderUrl, type Part, partOf, partsOf, urlOf } from './remote-key.js'

const { O_RDONLY } = constants
/** Windows has neither. */
const PLAIN = (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)
/** Bytes one call moves at most, so that others get their turn. */
const MOST_AT_ONCE = 1_048_576
/** What a file system says that has no hard links. */
const NO_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'])

/**
 * Shards in another folder, on a network mount say; made when the first is put there. A file appears under its name whole
 * or not at all. Links and devices are `MILL_PATH_REFUSED`; other faults are those of the file system. Throws
 * `MILL_INVALID_ARGUMENT`.
 */
export function fileStore(dir: string): ShardStore {
  if (typeof dir !== 'string' || dir === '') throw new ArgumentError('dir', 'a path', dir)
  const root = resolve(dir)
  return {
    async get(key, o = {}) {
      const part = partOf(o)
      const signal = checkSignal(o.signal)
      signal?.throwIfAborted()
      return readPart(join(root, ...partsOf(key)), part, signal)
    },
    async put(key, data, o = {}) {
      const parts = partsOf(key)
      if (!(data instanceof Uint8Array)) throw new ArgumentError('data', 'a Uint8Array', data)
      const signal = checkSignal(o.signal)
      signal?.throwIfAborted()
      const name = parts.pop() as string
      return putFile(join(root, ...parts), name, data, signal)
    },
  }
}

async function readPart(path: string, part: Part | undefined, signal: AbortSignal | undefined) {
  const file = await open(path, O_RDONLY | PLAIN).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    throw error.code === 'ELOOP' || error.code === 'ENXIO' ? irregular(path, error) : error
  })
  if (file === undefined) return undefined
  try {
    const status = await file.stat()
    if (!status.isFile()) throw irregular(path)
    const { offset, length } = part ?? { offset: 0, length: status.size }
    const from = Math.min(status.size, offset < 0 ? Math.max(0, status.size + offset) : offset)
    const bytes = new Uint8Array(Math.min(length, status.size - from))
    let done = 0
    while (done < bytes.length) {
      signal?.throwIfAborted()
      const { bytesRead } = await file.read(bytes, done, Math.min(MOST_AT_ONCE, bytes.length - done), from + done)
      // It has become shorter.
      if (bytesRead === 0) break
      done += bytesRead
    }
    return bytes.subarray(0, done)
  } finally {
    await file.close()
  }
}

async function putFile(
  folder: string,
  name: string,
  data: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<'stored' | 'exists'> {
  await mkdir(folder, { recursive: true })
  const path = join(folder, name)
  if (await isThere(path)) return 'exists'
  await sweepOnce(folder)
  const made = await createTemporary(folder, name)
  try {
    try {
      for (let at = 0; at < data.length; at += MOST_AT_ONCE) {
        signal?.throwIfAborted()
        await made.file.writeFile(data.subarray(at, at + MOST_AT_ONCE))
      }
      await made.file.chmod(0o666 & ~process.umask())
      await made.file.sync()
    } finally {
      await made.file.close()
    }
    signal?.throwIfAborted()
    try {
      await link(made.path, path)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EEXIST') return 'exists'
      if (!NO_LINKS.has(code ?? '')) throw error
      // Without hard links two may write at once; both have the same shard, and each appears whole.
      if (await isThere(path)) return 'exists'
      await rename(made.path, path)
    }
    return 'stored'
  } finally {
    // After a rename it is gone; a name that stays is no key of anybody.
    await unlink(made.path).catch(() => {})
  }
}

async function isThere(path: string): Promise<boolean> {
  const status = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (status !== undefined && !status.isFile()) throw irregular(path)
  return status !== undefined
}

function irregular(path: string, cause?: unknown): FileError {
  const fields = { path, ...(cause !== undefined && { cause }) }
  return new FileError('MILL_PATH_REFUSED', `${path} is no regular file: it is not used`, fields)
}

/**
 * Shards on any web server, to read only. `url` ends with `/`; `headers` go with every request, and a server that knows no
 * ranges is read to the wanted bytes. Throws `MILL_INVALID_ARGUMENT`; one call is one request, whose failure is
 * `MILL_REMOTE`.
 */
export function httpStore(url: string, options: HttpStoreOptions = {}): ShardStore {
  if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', options)
  const web = webOf(options)
  const folder = folderUrl(url)
  const headers = { ...options.headers }
  return {
    async get(key, o = {}) {
      const part = partOf(o)
      return getPart(
        web,
        { key, url: urlOf(folder, key), headers, signal: checkSignal(o.signal), redirect: 'follow' },
        part,
      )
    },
  }
}
