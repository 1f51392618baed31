// What the main thread and a worker thread say to each other. Types only: the worker imports nothing of ours.

/** An error on its way between threads. Structured clone alone would lose `code` and all other properties. */
export type PackedError =
  | {
      readonly name: string
      readonly message: string
      readonly stack: string | undefined
      /** Own properties that can be cloned. */
      readonly own: Readonly<Record<string, unknown>>
      readonly cause?: PackedError
      /** Of an AggregateError. */
      readonly errors?: readonly PackedError[]
      /** It was one of ours. */
      readonly branded: boolean
    }
  | { readonly thrown: unknown }

/** Where the function is found in the thread. */
export interface JobSpec {
  readonly name: string
  /** Of the module, for a `job()`. */
  readonly url?: string
  /** Text of the function, for an `inline()`. */
  readonly source?: string
  readonly init?: string
  readonly teardown?: string
}

/** A chunk that comes (again) outside of the order. */
export interface Again {
  readonly index: number
  readonly attempt: number
}

/** Work on a run until there is nothing left to claim. */
export interface RunMessage {
  readonly type: 'run'
  readonly run: string
  readonly slot: number
  readonly states: Uint8Array<SharedArrayBuffer>
  readonly control: Int32Array<SharedArrayBuffer>
  readonly start: number
  readonly end: number
  readonly chunkSize: number
  /** Number of the run's first chunk. */
  readonly firstChunk: number
  /** Attempts of its chunks before this run. */
  readonly earlier: number
  readonly job: JobSpec
  readonly args: unknown
  readonly retries: number
  readonly delayMs: number
  readonly timeoutMs: number | undefined
  readonly stopOnError: boolean
  readonly values: boolean
  /** Error texts a thread sends of each kind. */
  readonly errorTexts: number
  readonly first: readonly Again[]
}

export type ToWorker =
  | RunMessage
  /** The run was aborted: `chunk.signal` fires. */
  | { readonly type: 'abort' }
  /** No more of this run for you: teardown. */
  | { readonly type: 'finish' }
  /** Print what is left to print, and exit. */
  | { readonly type: 'close' }

export type FromWorker =
  /** Preloads are in; `error`: they are not. */
  | { readonly type: 'ready'; readonly error?: PackedError; readonly url?: string }
  /** The job cannot be run here. */
  | {
      readonly type: 'job'
      readonly problem: string
      readonly exports?: readonly string[]
      readonly error?: PackedError
    }
  | { readonly type: 'value'; readonly index: number; readonly value?: unknown }
  | {
      readonly type: 'retry' | 'failed'
      readonly index: number
      readonly attempt: number
      readonly error: PackedError
      readonly timedOut: boolean
    }
  /** Another thread was faster to take this chunk. */
  | { readonly type: 'missed'; readonly index: number }
  /** Nothing left to claim. */
  | { readonly type: 'idle' }
  /** Teardown is over. */
  | { readonly type: 'finished' }
