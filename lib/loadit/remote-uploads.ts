import type { MillraceError } from '../base/errors.js'
import { asOurs, isMissing } from './faults.js'
import { type FileOps, OPEN_TO_READ, readFully } from './file-ops.js'
import type { Asking } from './remote-ask.js'

/** Uploads under way at a time. */
const AT_ONCE = 2

interface Upload {
  readonly start: number
  readonly path: string
}

/** Puts finished shards into a store, in the background, two at a time; what fails is told, and stays here only. */
export class Uploads {
  readonly #asking: Asking
  readonly #files: FileOps
  readonly #tell: (error: MillraceError) => void
  readonly #waiting: Upload[] = []
  /** Uploads nobody waits for end with this. */
  readonly #never = new AbortController()
  #running = 0
  #closing = false
  #whenIdle: (() => void)[] = []

  constructor(asking: Asking, files: FileOps, tell: (error: MillraceError) => void) {
    this.#asking = asking
    this.#files = files
    this.#tell = tell
  }

  add(start: number, path: string): void {
    if (this.#closing || !this.#asking.isWritable) return
    this.#waiting.push({ start, path })
    if (this.#running < AT_ONCE) void this.#run()
  }

  /** Resolves when nothing is waiting and nothing under way. */
  idle(): Promise<void> {
    if (this.#running === 0) return Promise.resolve()
    return new Promise((resolve) => this.#whenIdle.push(resolve))
  }

  /** Those under way come to their end, without being tried again; the others stay undone. */
  close(): Promise<void> {
    this.#closing = true
    this.#waiting.length = 0
    return this.idle()
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    this.#running++
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) await this.#put(next)
    this.#running--
    if (this.#running > 0) return
    const waiting = this.#whenIdle
    this.#whenIdle = []
    for (const resolve of waiting) resolve()
  }

  async #put({ start, path }: Upload): Promise<void> {
    try {
      const data = await this.#read(path)
      await this.#asking.put(start, data, this.#never.signal, () => this.#closing)
    } catch (error) {
      // Evicted before its turn came: it is put there when it is made again.
      if (!isMissing(error)) this.#tell(asOurs(error, path))
    }
  }

  async #read(path: string): Promise<Uint8Array> {
    const fd = await this.#files.open(path, OPEN_TO_READ)
    try {
      const { size } = await this.#files.fstat(fd)
      const data = new Uint8Array(size)
      const read = await readFully(this.#files, fd, data, 0)
      return data.subarray(0, read)
    } finally {
      await this.#files.close(fd).catch(() => {}) // it was only read
    }
  }
}
