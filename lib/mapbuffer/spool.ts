import { allocate } from '../base/bytes.js'
import { prematureClose } from '../streams/machine.js'
import { TempFile } from './temp-file.js'

/** Bytes of a page, and of one write to the file; less than eight of them have to be smaller, to use what they may. */
const PAGE_BYTES = 2 ** 20
const LEAST_PAGE_BYTES = 4096
const LEAST_PAGES = 8
/**
 * What is kept of the pages once there is a file. Chunks that were given out and are garbage by then take up to 32 MiB
 * before V8 collects them, on Node 24 some 20 more, and that is memory, too. Five eighths are a sixth faster, but on Node 24
 * 64 MiB of memory then came to 126 at times, beyond what is promised.
 */
const KEPT = 3 / 8

/**
 * Bytes in the order in which they come, in pages of memory as long as they fit, and in one temporary file as soon as
 * they don't. Its pages are written while others are filled; when all has come they are free to be used otherwise.
 */
export class Spool {
  /** Bytes of one page: a power of two. */
  readonly pageBytes: number
  /** Bytes that have come in. */
  length = 0
  readonly #dir: string | undefined
  readonly #maxPages: number
  /** All pages, in order as long as there is no file; then those that are kept. */
  #pages: Uint8Array[] = []
  /** Pages whose bytes have been written. */
  readonly #free: Uint8Array[] = []
  /** The page that is being filled; undefined when all wait to be written. */
  #page: Uint8Array | undefined
  #filled = 0
  #file: TempFile | undefined
  /** The last write; they go out one by one, so that they leave the thread pool to others. */
  #writes: Promise<void> = Promise.resolve()
  #failure: { readonly error: unknown } | undefined
  #waiting: (() => void) | undefined

  /** `memory`: bytes of pages, at least one page of 4 KiB; `dir`: where the file is made. */
  constructor(memory: number, dir: string | undefined) {
    const most = Math.max(LEAST_PAGE_BYTES, memory)
    const pageBytes = 2 ** Math.floor(Math.log2(most / LEAST_PAGES))
    this.pageBytes = Math.min(PAGE_BYTES, Math.max(LEAST_PAGE_BYTES, pageBytes))
    this.#maxPages = Math.floor(most / this.pageBytes)
    this.#dir = dir
    this.#page = this.#newPage()
  }

  /** Bytes written to the file. */
  get spooled(): number {
    return this.#file?.size ?? 0
  }

  /** The file, if there had to be one. */
  get file(): TempFile | undefined {
    return this.#file
  }

  /** Without a file the pages hold the bytes; with one they are free to be used once it is flushed. */
  get pages(): readonly Uint8Array[] {
    return this.#pages
  }

  /**
   * Takes a copy of the bytes; where it gives a promise, they must stay as they are until it resolves, and nothing else
   * may come before. Throws or rejects with `MILL_SPOOL_FAILED`, `MILL_SPOOL_LIMIT`.
   */
  append(bytes: Uint8Array): Promise<void> | undefined {
    this.length += bytes.length
    const page = this.#page
    if (page !== undefined && bytes.length <= page.length - this.#filled) {
      page.set(bytes, this.#filled)
      this.#filled += bytes.length
      return undefined
    }
    return this.#appendFrom(bytes, 0)
  }

  #appendFrom(bytes: Uint8Array, from: number): Promise<void> | undefined {
    if (this.#failure !== undefined) throw this.#failure.error
    for (let at = from; at < bytes.length; ) {
      if (this.#page !== undefined && this.#filled === this.#page.length) this.#put(this.#page)
      this.#page ??= this.#nextPage()
      const page = this.#page
      if (page === undefined) return this.#freed().then(() => this.#appendFrom(bytes, at))
      const count = Math.min(bytes.length - at, page.length - this.#filled)
      page.set(bytes.subarray(at, at + count), this.#filled)
      this.#filled += count
      at += count
    }
    return undefined
  }

  /** Where there is a file, resolves when all bytes are in it; the pages hold nothing any more. */
  async flush(): Promise<void> {
    if (this.#file === undefined) return
    if (this.#page !== undefined && this.#filled > 0) this.#write(this.#page, this.#filled)
    this.#page = undefined
    await this.#writes
    if (this.#failure !== undefined) throw this.#failure.error
  }

  /** The file is gone, and so are the bytes. Idempotent; never rejects. */
  async close(): Promise<void> {
    this.#failure ??= { error: prematureClose() }
    this.#page = undefined
    this.#free.length = 0
    await this.#file?.close()
    for (const page of this.#pages) letGo(page)
    this.#pages = []
  }

  // ---- pages ----------------------------------------------------------------------------------------------------------

  #newPage(): Uint8Array {
    const page = allocate(this.pageBytes)
    this.#pages.push(page)
    return page
  }

  /** The page is full. */
  #put(page: Uint8Array): void {
    this.#page = undefined
    if (this.#file !== undefined) this.#write(page, page.length)
    else if (this.#pages.length === this.#maxPages) {
      this.#file = new TempFile(this.#dir, this.#maxPages * this.pageBytes)
      const kept = Math.ceil(this.#maxPages * KEPT)
      this.#pages.forEach((each, i) => {
        this.#write(each, each.length, i < kept)
      })
      this.#pages = this.#pages.slice(0, kept)
    }
  }

  #nextPage(): Uint8Array | undefined {
    this.#filled = 0
    return this.#file === undefined ? this.#newPage() : this.#free.pop()
  }

  #write(page: Uint8Array, length: number, kept = true): void {
    this.#writes = this.#writes.then(async () => {
      if (this.#failure !== undefined) return
      try {
        await this.#file?.append(length === page.length ? page : page.subarray(0, length))
        if (kept) this.#free.push(page)
        else letGo(page)
      } catch (error) {
        this.#failure = { error }
      }
      const waiting = this.#waiting
      this.#waiting = undefined
      waiting?.()
    })
  }

  #freed(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting = resolve
    })
  }
}

/**
 * Memory that is not needed any more, given back as soon as possible: pages are old, and so would only be collected with
 * all that is old. Transferred, the memory belongs to a new object, which the next small collection takes.
 */
function letGo(page: Uint8Array): void {
  const { buffer } = page
  if (buffer instanceof ArrayBuffer && typeof structuredClone === 'function') {
    structuredClone(buffer, { transfer: [buffer] })
  }
}
