import type { promises } from 'node:fs'
import { lstat, rename, unlink } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import type { BytesLike } from '../../types/bytes.js'
import type { Source } from '../../types/source.js'
import { abortable, checkSignal } from '../base/abort.js'
import { isBytesLike, toUint8Array } from '../base/bytes.js'
import { ArgumentError, FileError } from '../base/errors.js'
import { pathOf } from './file.js'
import { createTemporary, sweepOnce, syncFolder } from './temporary.js'

/** Pieces shorter than half of this are gathered before they are written. */
const GATHERED = 262_144
/** Bytes one call writes at most, so that others get a turn. */
const MOST_AT_ONCE = 1_048_576

/**
 * Writes a file so that its name always stands for the old file or for the whole new one: what is written lies beside
 * it under a temporary name until it is complete and on the disk (`sync: false`: not necessarily on the disk). Resolves
 * to the number of bytes. Whatever fails, the old file is as it was and nothing is left over.
 *
 * The file keeps the permissions of the one it replaces. A link, folder or device of that name is `MILL_PATH_REFUSED`,
 * a full disk `MILL_DISK_FULL`, any other fault of the file system `MILL_WRITE_FAILED`; an error of the source comes
 * as it is, an abort as `signal.reason`. The source is read as fast as the disk takes it, and ended early on a failure.
 * Rejects with `MILL_INVALID_ARGUMENT` for what is neither bytes nor a source of bytes.
 */
export async function atomicWrite(
  path: string | URL,
  data: BytesLike | Source<Uint8Array>,
  options: { signal?: AbortSignal; sync?: boolean } = {},
): Promise<number> {
  const target = resolve(pathOf(path))
  const signal = checkSignal(options.signal)
  const pieces = new Pieces(data, signal)
  let file: promises.FileHandle | undefined
  let temporary: string | undefined
  const output = new Output(target)
  try {
    signal?.throwIfAborted()
    const mode = await output.guard(modeOf(target))
    await sweepOnce(dirname(target))
    const made = await output.guard(createTemporary(dirname(target), basename(target)))
    temporary = made.path
    file = made.file
    output.file = file
    for (let piece = await pieces.next(); piece !== undefined; piece = await pieces.next()) await output.write(piece)
    await output.flush()
    await output.guard(file.chmod(mode))
    if (options.sync !== false) await output.guard(file.sync())
    signal?.throwIfAborted()
    file = undefined
    await output.guard(made.file.close())
    await output.guard(rename(made.path, target))
    temporary = undefined
    if (options.sync !== false) await output.guard(syncFolder(target))
    return output.bytes
  } catch (error) {
    pieces.giveUp(error)
    await file?.close().catch(() => {})
    if (temporary !== undefined) await unlink(temporary).catch(() => {})
    throw error
  }
}

/** Permissions for the new file: those of the old one, or what a new file gets. Refuses what is no regular file. */
async function modeOf(path: string): Promise<number> {
  try {
    const status = await lstat(path)
    if (status.isFile()) return status.mode & 0o7777
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0o666 & ~process.umask()
    throw error
  }
  throw new FileError('MILL_PATH_REFUSED', `${path} is no regular file: it is not replaced`, { path })
}

/** The temporary file: gathers small pieces, writes until all is out, names its failures. */
class Output {
  readonly #path: string
  readonly #gathered = new Uint8Array(GATHERED)
  #waiting = 0
  /** Bytes taken so far. */
  bytes = 0
  file: promises.FileHandle | undefined

  constructor(path: string) {
    this.#path = path
  }

  async write(piece: Uint8Array): Promise<void> {
    this.bytes += piece.length
    if (this.#waiting + piece.length > GATHERED) await this.flush()
    if (piece.length >= GATHERED / 2) return this.#put(piece)
    this.#gathered.set(piece, this.#waiting)
    this.#waiting += piece.length
  }

  async flush(): Promise<void> {
    const waiting = this.#gathered.subarray(0, this.#waiting)
    this.#waiting = 0
    await this.#put(waiting)
  }

  async #put(bytes: Uint8Array): Promise<void> {
    const { file } = this
    // A short count means that the rest failed, and only the next call says why.
    for (let at = 0; at < bytes.length; ) {
      const length = Math.min(MOST_AT_ONCE, bytes.length - at)
      const { bytesWritten = 0 } = (await this.guard(file?.write(bytes, at, length))) ?? {}
      if (bytesWritten === 0) throw this.#failed(new Error('nothing was written'))
      at += bytesWritten
    }
  }

  /** The promise, its failure named. */
  async guard<T>(promise: Promise<T> | undefined): Promise<T> {
    try {
      return (await promise) as T
    } catch (error) {
      throw error instanceof FileError ? error : this.#failed(error)
    }
  }

  #failed(cause: unknown): FileError {
    const path = this.#path
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG') {
      return new FileError('MILL_DISK_FULL', `${path}: the disk is full`, { path, needed: this.bytes, cause })
    }
    return new FileError('MILL_WRITE_FAILED', `${path} cannot be written`, { path, cause })
  }
}

type Result = IteratorResult<unknown>
interface AnyIterator {
  next(): Result | Promise<Result>
  return?(): unknown
}

/** Bytes one after the other out of anything iterable, until an abort. */
class Pieces {
  readonly #data: unknown
  readonly #signal: AbortSignal | undefined
  readonly #iterator: AnyIterator
  #ended = false

  constructor(data: unknown, signal: AbortSignal | undefined) {
    this.#data = data
    this.#signal = signal
    this.#iterator = iteratorOf(data)
  }

  async next(): Promise<Uint8Array | undefined> {
    const { done, value } = await abortable(Promise.resolve(this.#iterator.next()), this.#signal)
    if (done === true) {
      this.#ended = true
      return undefined
    }
    if (isBytesLike(value) || typeof value === 'string') return toUint8Array(value)
    throw new ArgumentError('data', 'bytes, or a source of bytes', value)
  }

  /** Ends the source without waiting for it: it may be stuck. */
  giveUp(reason: unknown): void {
    if (this.#ended) return
    const { destroy } = this.#data as { destroy?: (error?: Error) => void }
    if (typeof destroy === 'function') destroy.call(this.#data, reason instanceof Error ? reason : undefined)
    else Promise.resolve(this.#iterator.return?.()).catch(() => {})
  }
}

/** Shapes of what can be read from. */
interface Readable {
  getReader?(): { read(): Promise<Result>; cancel(): Promise<void> }
  [Symbol.asyncIterator]?(): AnyIterator
  [Symbol.iterator]?(): AnyIterator
}

function iteratorOf(data: unknown): AnyIterator {
  if (isBytesLike(data)) return [data].values()
  const source = (data ?? {}) as Readable
  // Before its iterator: that one can't be ended while it waits.
  if (typeof source.getReader === 'function') {
    const reader = source.getReader()
    return { next: () => reader.read(), return: () => reader.cancel() }
  }
  const made = typeof data === 'string' ? undefined : (source[Symbol.asyncIterator]?.() ?? source[Symbol.iterator]?.())
  if (made === undefined) throw new ArgumentError('data', 'bytes, or a source of bytes', data)
  return made
}
