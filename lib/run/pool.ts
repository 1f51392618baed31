import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { type ResourceLimits, Worker, type WorkerOptions } from 'node:worker_threads'
import type { FromWorker, ToWorker } from './messages.js'
import { MAX_LANES } from './plan.js'
import { RunError, textOf, unpackError } from './run-error.js'
import { source } from './worker-source.js'

/** Threads, unless somebody says how many. */
export const defaultWorkers = (): number => Math.min(MAX_LANES, availableParallelism())

/** How long a thread may take to print what is left, in milliseconds. */
const LAST_WORDS = 250

export interface ThreadsOptions {
  readonly max: number
  readonly resourceLimits: ResourceLimits | undefined
  /** Addresses of modules that each thread imports first. */
  readonly preload: readonly string[]
}

/** A run, to the pool. */
export interface ThreadUser {
  /** A thread is yours until you release it or it is lost. */
  give(thread: Thread): void
  message(thread: Thread, message: FromWorker): void
  /** It has ended by itself, or was ended. */
  lost(thread: Thread, exitCode: number, error: unknown): void
  /** A module to be imported first cannot be. */
  unusable(error: RunError): void
  /** The process lives as long as the thread works. */
  readonly keepsAlive: boolean
}

function newWorker(options: WorkerOptions): Worker {
  try {
    const file = new URL('./chunk-worker.js', import.meta.url)
    if (file.protocol === 'file:' && existsSync(fileURLToPath(file))) {
      return new Worker(new URL('./chunk-worker.js', import.meta.url), options) // in this form bundlers carry it along
    }
  } catch (error) {
    if (source === '') throw error // a bundle without import.meta.url
  }
  const named = `${source}\n//# sourceURL=millrace:chunk-worker` // else each line of a stack holds all of it
  return new Worker(new URL(`data:text/javascript,${encodeURIComponent(named)}`), options)
}

/** One worker thread. */
export class Thread {
  readonly worker: Worker
  user: ThreadUser | undefined
  /** Where its user keeps account of it. */
  slot = 0
  /** Resolves when its preloads are in; rejects when they cannot be, or the thread ends before. */
  readonly ready: Promise<void>
  readonly exited: Promise<void>
  /** The pool has asked it to end. */
  closing = false
  #error: unknown

  constructor(options: ThreadsOptions, onExit: (thread: Thread, exitCode: number, error: unknown) => void) {
    const { preload, resourceLimits } = options
    const evaluated = process.execArgv.some((arg) => arg.startsWith('--input-type'))
    this.worker = newWorker({
      name: 'millrace',
      workerData: { preload },
      ...(resourceLimits !== undefined && { resourceLimits }),
      ...(evaluated && { execArgv: [] }), // that flag, inherited, ends every thread that runs a file
    })
    let isReady = (): void => {}
    let isNot = (_: unknown): void => {}
    this.ready = new Promise((resolve, reject) => {
      isReady = resolve
      isNot = reject
    })
    this.ready.catch(() => {})
    this.worker.on('message', (message: FromWorker) => {
      if (message.type !== 'ready') this.user?.message(this, message)
      else if (message.error === undefined) isReady()
      else {
        const cause = unpackError(message.error)
        const text = `${message.url} cannot be preloaded: ${textOf(cause)}`
        const error = new RunError('MILL_RUN_JOB', text, { url: message.url, cause })
        isNot(error)
        this.user?.unusable(error)
        this.end()
      }
    })
    this.worker.on('error', (error) => {
      this.#error = error
    })
    this.exited = new Promise((resolve) => {
      this.worker.once('exit', (exitCode) => {
        const what = `A thread ended (exit code ${exitCode}) before it was ready`
        isNot(
          new RunError('MILL_RUN_WORKER', what, { exitCode, ...(this.#error !== undefined && { cause: this.#error }) }),
        )
        onExit(this, exitCode, this.#error)
        resolve()
      })
    })
    this.worker.unref() // after the listeners: a listener for messages undoes it
  }

  post(message: ToWorker): void {
    this.worker.postMessage(message)
  }

  /** Ends it, whatever it does. */
  end(): void {
    this.closing = true
    this.worker.ref() // until it is gone
    void this.worker.terminate()
  }

  /** Lets it print what is left, then ends it. */
  async close(): Promise<void> {
    if (!this.closing) {
      this.closing = true
      this.worker.ref()
      this.post({ type: 'close' })
      const timer = setTimeout(() => void this.worker.terminate(), LAST_WORDS)
      await this.exited
      clearTimeout(timer)
    }
    await this.exited
  }
}

/** Threads, and who gets them: first come, first served. Started when they are needed; idle ones keep nothing alive. */
export class Threads {
  readonly options: ThreadsOptions
  readonly #all = new Set<Thread>()
  readonly #idle: Thread[] = []
  readonly #asking: { readonly user: ThreadUser; wanted: number }[] = []
  #closed = false

  constructor(options: ThreadsOptions) {
    this.options = options
  }

  /** So many threads more, as they become free. May call `give()` at once. */
  request(user: ThreadUser, wanted: number): void {
    const asking = this.#asking.find((one) => one.user === user)
    if (asking !== undefined) asking.wanted += wanted
    else this.#asking.push({ user, wanted })
    this.#serve()
  }

  /** How many threads a user still waits for. */
  outstanding(user: ThreadUser): number {
    return this.#asking.find((one) => one.user === user)?.wanted ?? 0
  }

  withdraw(user: ThreadUser): void {
    const at = this.#asking.findIndex((one) => one.user === user)
    if (at >= 0) this.#asking.splice(at, 1)
  }

  release(thread: Thread): void {
    thread.user = undefined
    if (thread.closing) return
    thread.worker.unref()
    this.#idle.push(thread)
    this.#serve()
  }

  /** Starts all threads that are not there yet. */
  async start(): Promise<void> {
    while (this.#all.size < this.options.max) this.#idle.push(this.#spawn())
    this.#serve()
    const threads = [...this.#all]
    for (const { worker } of threads) worker.ref()
    try {
      await Promise.all(threads.map((thread) => thread.ready))
    } finally {
      for (const { closing, user, worker } of threads) if (!closing && user?.keepsAlive !== true) worker.unref()
    }
  }

  /** Ends all threads. Nobody may be using them any more. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#all].map((thread) => thread.close()))
  }

  #spawn(): Thread {
    const thread = new Thread(this.options, (lost, exitCode, error) => this.#exited(lost, exitCode, error))
    this.#all.add(thread)
    return thread
  }

  #serve(): void {
    while (!this.#closed) {
      const [asking] = this.#asking
      if (asking === undefined) return
      const thread = this.#idle.pop() ?? (this.#all.size < this.options.max ? this.#spawn() : undefined)
      if (thread === undefined) return
      if (--asking.wanted === 0) this.#asking.shift()
      thread.user = asking.user
      if (asking.user.keepsAlive) thread.worker.ref()
      asking.user.give(thread)
    }
  }

  #exited(thread: Thread, exitCode: number, error: unknown): void {
    const { user } = thread
    this.#all.delete(thread)
    const at = this.#idle.indexOf(thread)
    if (at >= 0) this.#idle.splice(at, 1)
    if (user !== undefined) user.lost(thread, exitCode, error)
    else if (!thread.closing) {
      const why = error === undefined ? '' : `: ${textOf(error)}`
      process.emitWarning(`An idle thread of a ChunkPool ended (exit code ${exitCode})${why}`, {
        type: 'MillraceWarning',
        code: 'MILL_RUN_WORKER',
      })
    }
    this.#serve()
  }
}
