import { builtin } from '../base/builtin.js'
import { MapBufferError } from '../base/errors.js'

type Fs = typeof import('node:fs')

/** Bytes handed to the system at once: the event loop and other files get their turn. */
const MOST_AT_ONCE = 2 ** 20

/** Is there a file system at all? */
export function hasFiles(): boolean {
  return builtin('node:fs') !== undefined
}

/**
 * A temporary file without a name: it is made for its owner alone (mode 0600), and removed from its folder at once, so
 * that nothing is left of it once it is closed or the process is gone, however it went. Errors are `MILL_SPOOL_FAILED`.
 */
export class TempFile {
  readonly #fs: Fs
  readonly #fd: number
  /** Set where an open file can't be removed from its folder. */
  readonly #path: string | undefined
  #size = 0
  /** Operations under way; the descriptor must stay open until they are done, or they would meet another file. */
  #pending = 0
  #idle: (() => void) | undefined
  #closing: Promise<void> | undefined

  /** Makes one in `dir`, by default `os.tmpdir()`. Throws `MILL_SPOOL_LIMIT` with `limit` where there is no file system. */
  constructor(dir: string | undefined, limit: number) {
    const fs = builtin('node:fs')
    const os = builtin('node:os')
    const path = builtin('node:path')
    if (fs === undefined || os === undefined || path === undefined) {
      const message = `More than ${limit} bytes came, and there is no file system to put them`
      throw new MapBufferError('MILL_SPOOL_LIMIT', message, { limit })
    }
    this.#fs = fs
    const name = `.millrace-${globalThis.crypto.randomUUID()}.tmp`
    const { O_CREAT, O_EXCL, O_RDWR, O_NOFOLLOW = 0 } = fs.constants
    let file = name
    try {
      file = path.join(dir ?? os.tmpdir(), name)
      this.#fd = fs.openSync(file, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW, 0o600)
    } catch (cause) {
      throw spoolFailed(cause)
    }
    this.#path = removed(fs, file) ? undefined : file
  }

  /** Bytes written, or on their way. */
  get size(): number {
    return this.#size
  }

  /** Puts the bytes behind all others; they must stay as they are until the promise resolves. Several may be under way. */
  append(bytes: Uint8Array): Promise<void> {
    const position = this.#size
    this.#size += bytes.length
    return this.#run(() => this.#writeAll(bytes, position))
  }

  /** Fills `target` with the bytes from `position` on. */
  read(target: Uint8Array, position: number): Promise<void> {
    return this.#run(() => this.#readAll(target, position))
  }

  /** Waits for what is under way, then the file is gone. Idempotent; never rejects. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (this.#pending > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve
      })
    }
    await new Promise<void>((resolve) => this.#fs.close(this.#fd, () => resolve()))
    if (this.#path !== undefined) removed(this.#fs, this.#path)
  }

  async #run(operation: () => Promise<void>): Promise<void> {
    if (this.#closing !== undefined) throw spoolFailed(new Error('the file has been closed'))
    this.#pending++
    try {
      await operation()
    } catch (cause) {
      throw spoolFailed(cause)
    } finally {
      this.#pending--
      if (this.#pending === 0) this.#idle?.()
    }
  }

  async #writeAll(bytes: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      // A short count says that something is wrong; what it is, only the next call tells.
      const count = Math.min(bytes.length - done, MOST_AT_ONCE)
      done += await new Promise<number>((resolve, reject) => {
        this.#fs.write(this.#fd, bytes, done, count, position + done, (error, written) =>
          error === null ? resolve(written) : reject(error),
        )
      })
    }
  }

  async #readAll(target: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < target.length; ) {
      const count = Math.min(target.length - done, MOST_AT_ONCE)
      const read = await new Promise<number>((resolve, reject) => {
        this.#fs.read(this.#fd, target, done, count, position + done, (error, bytesRead) =>
          error === null ? resolve(bytesRead) : reject(error),
        )
      })
      if (read === 0) throw new Error('the file is shorter than what was written to it')
      done += read
    }
  }
}

function removed(fs: Fs, path: string): boolean {
  try {
    fs.unlinkSync(path)
    return true
  } catch {
    // An open file keeps its name on Windows: it is removed when it is closed.
    return false
  }
}

function spoolFailed(cause: unknown): MapBufferError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new MapBufferError('MILL_SPOOL_FAILED', `The temporary file failed: ${reason}`, { cause })
}
