import { type FileOps, OPEN_TO_READ } from './file-ops.js'

/** Descriptors of shards that are open at a time. */
const MOST_OPEN = 64
/** A descriptor that nobody has used for so many looks is closed; one look a second. */
const IDLE_LOOKS = 5
const LOOK_MS = 1000

/** The descriptors of a loader: opened when they are needed, closed when there are too many or nobody uses them. */
export class Handles {
  readonly files: FileOps
  readonly #open = new Set<Handle>()
  /** Closes under way. */
  readonly #closing = new Set<Promise<void>>()
  #timer: ReturnType<typeof setInterval> | undefined
  /** Counts uses: who was used last has the highest. */
  uses = 0

  constructor(files: FileOps) {
    this.files = files
  }

  /** Descriptors open now. */
  get open(): number {
    return this.#open.size
  }

  /** A descriptor is open. */
  opened(handle: Handle): void {
    this.#open.add(handle)
    // An open file is no reason for the process to stay.
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS).unref()
    this.#makeRoom(MOST_OPEN)
  }

  closed(handle: Handle): void {
    this.#open.delete(handle)
    if (this.#open.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Closes those that were not used for longest until at most `most` are open, but none that is being read. */
  #makeRoom(most: number): void {
    while (this.#open.size > most) {
      let coldest: Handle | undefined
      for (const handle of this.#open) {
        if (handle.canReopen && handle.usedAt < (coldest?.usedAt ?? Number.POSITIVE_INFINITY)) coldest = handle
      }
      if (coldest === undefined) return
      void coldest.rest()
    }
  }

  /** For when the system has no more descriptors: true if some were closed. */
  async giveBack(): Promise<boolean> {
    const resting: Promise<void>[] = []
    for (const handle of this.#open) if (handle.canReopen) resting.push(handle.rest())
    await Promise.all(resting)
    return resting.length > 0
  }

  #look(): void {
    for (const handle of this.#open) if (handle.looksIdle(IDLE_LOOKS)) void handle.rest()
  }

  /** Closes a descriptor; never rejects: what a close that fails means, nobody can tell, the descriptor is gone. */
  async shut(fd: number): Promise<void> {
    const closing = this.files.close(fd).catch(() => {})
    this.#closing.add(closing)
    await closing
    this.#closing.delete(closing)
  }

  /** Closes all descriptors, each when its last read is done, and waits for those that are being closed. Never rejects. */
  async close(): Promise<void> {
    await Promise.all(Array.from(this.#open, (handle) => handle.close()))
    await Promise.all(this.#closing)
  }
}

/**
 * A file that is read at any time: its descriptor comes and goes. Reads under way are counted, and the last one closes:
 * the number of a closed descriptor may be another file's already.
 */
export class Handle {
  usedAt = 0
  /** Where it lies; undefined: nowhere any more, and what is closed can't be opened again. */
  path: string | undefined
  readonly #handles: Handles
  #fd: number
  #pending = 0
  #opening: Promise<number> | undefined
  #closed = false
  #resting: { readonly promise: Promise<void>; readonly done: () => void } | undefined
  #seenAt = 0
  #looks = 0

  /** @param fd its descriptor, if it is open */
  constructor(handles: Handles, path: string | undefined, fd = -1) {
    this.#handles = handles
    this.path = path
    this.#fd = fd
    if (fd >= 0) handles.opened(this)
  }

  /** No read is under way, and it could be opened again. */
  get canReopen(): boolean {
    return this.#pending === 0 && this.#fd >= 0 && this.path !== undefined
  }

  /** Reads under way. */
  get pending(): number {
    return this.#pending
  }

  get isClosed(): boolean {
    return this.#closed
  }

  /** The descriptor for a read that is over before anything else happens; -1: it is not open. */
  get now(): number {
    this.usedAt = ++this.#handles.uses
    return this.#resting === undefined ? this.#fd : -1
  }

  /** The descriptor, for a read that lasts until `release`. Rejects with the system's error. */
  async acquire(): Promise<number> {
    this.usedAt = ++this.#handles.uses
    this.#pending++
    try {
      // Who wants it while it is being closed waits for that, and opens it anew.
      while (this.#resting !== undefined && this.#fd < 0) await this.#resting.promise
      if (this.#fd >= 0) return this.#fd
      this.#opening ??= this.#openFile().finally(() => {
        this.#opening = undefined
      })
      return await this.#opening
    } catch (error) {
      this.release()
      throw error
    }
  }

  release(): void {
    this.#pending--
    if (this.#pending === 0 && (this.#closed || this.#resting !== undefined)) this.#shut()
  }

  async #openFile(): Promise<number> {
    const { files } = this.#handles
    if (this.path === undefined || this.#closed) throw new Error('the file is closed')
    const fd = await files.open(this.path, OPEN_TO_READ).catch(async (error: NodeJS.ErrnoException) => {
      const isShort = error.code === 'EMFILE' || error.code === 'ENFILE'
      if (isShort && (await this.#handles.giveBack())) return files.open(this.path as string, OPEN_TO_READ)
      throw error
    })
    this.#fd = fd
    this.#handles.opened(this)
    return fd
  }

  /** True once it was not used between so many looks. */
  looksIdle(looks: number): boolean {
    if (this.#seenAt !== this.usedAt || this.#pending > 0) {
      this.#seenAt = this.usedAt
      this.#looks = 0
      return false
    }
    return ++this.#looks >= looks && this.canReopen
  }

  /** Closes the descriptor; the next read opens it again. */
  rest(): Promise<void> {
    if (this.#fd < 0) return Promise.resolve()
    if (this.#resting === undefined) {
      let done = (): void => {}
      const promise = new Promise<void>((resolve) => {
        done = resolve
      })
      this.#resting = { promise, done }
      if (this.#pending === 0) this.#shut()
    }
    return this.#resting?.promise ?? Promise.resolve()
  }

  /** Closes it for good, when the last read is done. Idempotent; never rejects. */
  close(): Promise<void> {
    this.#closed = true
    return this.rest()
  }

  #shut(): void {
    const fd = this.#fd
    const resting = this.#resting
    const done = (): void => {
      if (this.#resting === resting) this.#resting = undefined
      resting?.done()
    }
    if (fd < 0) {
      done()
      return
    }
    this.#fd = -1
    this.#handles.closed(this)
    void this.#handles.shut(fd).then(done)
  }
}
