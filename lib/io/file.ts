import type { promises } from 'node:fs'
import type { ByteSource } from '../../types/byte-source.js'
import { abortable } from '../base/abort.js'
import { builtin } from '../base/builtin.js'
import { allocate } from '../base/bytes.js'
import { ArgumentError, SourceError } from '../base/errors.js'
import { checkRange, closedError, shortError } from './check.js'

type FileHandle = promises.FileHandle

/** A path from a string or a `file:` URL. Throws `MILL_INVALID_ARGUMENT`. */
export function pathOf(path: string | URL, argument = 'path'): string {
  if (typeof path === 'string' && path !== '' && !path.includes('\0')) return path
  const url = path as Partial<URL> | null
  if (typeof url === 'object' && url?.protocol === 'file:') {
    const toPath = builtin('node:url')?.fileURLToPath
    try {
      if (toPath !== undefined) return toPath(path)
    } catch {
      // A host, or an encoded slash: no path on this machine.
    }
  }
  throw new ArgumentError(argument, 'a path or a file: URL', path)
}

/** Are there files here? Not in a browser. */
export function hasFiles(): boolean {
  return builtin('node:fs') !== undefined
}

/**
 * A file as a source, Node only. It is opened by the first read and has its size from then on; what is appended later
 * is not seen, and a file that gets shorter is `MILL_SOURCE_SHORT`. One that can't be opened or read, or is no regular
 * file, is `MILL_SOURCE_FAILED` with its path as `url`. Each read gives new memory. Close it.
 */
export function fileSource(path: string | URL): ByteSource {
  return new FileSource(pathOf(path))
}

class FileSource implements ByteSource {
  readonly local = true
  readonly #path: string
  #size: number | undefined
  #opening: Promise<FileHandle> | undefined
  #closing: Promise<void> | undefined

  constructor(path: string) {
    this.#path = path
  }

  get size(): number | undefined {
    return this.#size
  }

  async read(offset: number, length: number, options: { signal?: AbortSignal } = {}): Promise<Uint8Array> {
    options.signal?.throwIfAborted()
    checkRange(offset, length)
    if (this.#closing !== undefined) throw closedError(this.#path)
    return abortable(this.#read(offset, length), options.signal)
  }

  async #read(offset: number, length: number): Promise<Uint8Array> {
    if (this.#opening === undefined) {
      const opening = this.#open()
      this.#opening = opening
      // A file that is not there yet may be there at the next read.
      opening.catch(() => {
        if (this.#opening === opening) this.#opening = undefined
      })
    }
    const file = await this.#opening
    if (this.#closing !== undefined) throw closedError(this.#path)
    const expected = Math.max(0, Math.min(length, (this.#size as number) - offset))
    const bytes = allocate(expected)
    for (let got = 0; got < expected; ) {
      const { bytesRead } = await file.read(bytes, got, expected - got, offset + got).catch((cause: unknown) => {
        throw this.#failed('cannot be read', cause)
      })
      if (bytesRead === 0) throw shortError(this.#path, offset, expected, got, 'the file has become shorter')
      got += bytesRead
    }
    return bytes
  }

  async #open(): Promise<FileHandle> {
    const fs = builtin('node:fs')
    if (fs === undefined) throw new SourceError('MILL_UNSUPPORTED', 'there are no files here', { url: this.#path })
    // Without O_NONBLOCK the open of a FIFO waits for a writer, for ever.
    const flags = fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0)
    let file: FileHandle | undefined
    try {
      file = await fs.promises.open(this.#path, flags)
      const status = await file.stat()
      if (!status.isFile()) throw this.#failed('is not a regular file')
      this.#size = status.size
      return file
    } catch (cause) {
      await file?.close()
      throw cause instanceof SourceError ? cause : this.#failed('cannot be opened', cause)
    }
  }

  #failed(what: string, cause?: unknown): SourceError {
    const fields = { url: this.#path, ...(cause !== undefined && { cause }) }
    return new SourceError('MILL_SOURCE_FAILED', `${this.#path} ${what}`, fields)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const file = await this.#opening?.catch(() => undefined)
    // Waits for the reads that are under way.
    await file?.close()
  }
}
