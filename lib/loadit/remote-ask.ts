import type { ShardStore } from '../../types/load-it.js'
import { sleep } from '../base/abort.js'
import { ArgumentError, LoadItError } from '../base/errors.js'
import { retryAfterOf } from './remote-http.js'
import { keyOf } from './remote-key.js'

/** Milliseconds before the second, third and fourth attempt, give or take a quarter. */
const WAITS = [100, 400, 1600]
/** Milliseconds a server may make us wait with `Retry-After`. */
const MOST_WAIT = 10_000

/** What an answer is worth: itself, or {@link Wrong}. */
type Judge<R> = (answer: R) => string | undefined

/** Asks a store, and asks again where that may help. All of it rejects with `MILL_REMOTE`, or `signal.reason`. */
export class Asking {
  readonly #store: ShardStore

  constructor(store: ShardStore) {
    this.#store = store
  }

  /** May anything be put there? */
  get isWritable(): boolean {
    return typeof this.#store.put === 'function'
  }

  /** The last bytes of a shard, `length` or all there are; undefined: it isn't there. */
  tail(start: number, length: number, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const key = keyOf(start)
    return this.#ask(
      key,
      signal,
      () => this.#store.get(key, { offset: -length, signal }),
      (bytes) =>
        notBytes(bytes) ?? (bytes !== undefined && bytes.length > length ? 'more came than was asked for' : undefined),
    )
  }

  /** Exactly these bytes of a shard; undefined: it isn't there any more. */
  part(start: number, offset: number, length: number, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const key = keyOf(start)
    return this.#ask(
      key,
      signal,
      () => this.#store.get(key, { offset, length, signal }),
      (bytes) => {
        if (bytes === undefined || (bytes instanceof Uint8Array && bytes.length === length)) return undefined
        return notBytes(bytes) ?? `${bytes.length} bytes came, not the ${length} from ${offset} on`
      },
    )
  }

  /** Puts a shard there unless it is there already. `isLast` says that another attempt would come too late. */
  async put(start: number, data: Uint8Array, signal: AbortSignal, isLast: () => boolean): Promise<void> {
    const key = keyOf(start)
    await this.#ask(
      key,
      signal,
      async () => this.#store.put?.(key, data, { signal }),
      () => undefined,
      isLast,
    )
  }

  async #ask<R>(
    key: string,
    signal: AbortSignal,
    ask: () => Promise<R>,
    judge: Judge<R>,
    isLast: () => boolean = never,
  ): Promise<R> {
    for (let attempt = 1; ; attempt++) {
      let error: unknown
      try {
        const answer = await ask()
        const wrong = judge(answer)
        if (wrong === undefined) return answer
        error = new LoadItError('MILL_REMOTE', wrong, { key })
      } catch (thrown) {
        if (signal.aborted) throw signal.reason
        error = thrown
      }
      const wait = WAITS[attempt - 1]
      if (wait === undefined || !mayHelp(error) || isLast()) throw remoteFault(key, attempt, error)
      await sleep(Math.min(MOST_WAIT, retryAfterOf(error) ?? wait * (0.75 + Math.random() / 2)), signal)
    }
  }
}

const never = (): boolean => false

function notBytes(answer: unknown): string | undefined {
  return answer === undefined || answer instanceof Uint8Array ? undefined : 'the store gave no Uint8Array'
}

/** No answer, 429 and 5xx may be otherwise the next time; what the server or we refuse won't. */
function mayHelp(error: unknown): boolean {
  if (error instanceof ArgumentError) return false
  const { status } = (error ?? {}) as { status?: unknown }
  return typeof status !== 'number' || status < 300 || status === 408 || status === 429 || status >= 500
}

function remoteFault(key: string, attempts: number, cause: unknown): LoadItError {
  const { status, message } = (cause ?? {}) as { status?: unknown; message?: unknown }
  const why = typeof message === 'string' ? message : String(cause)
  const after = attempts === 1 ? '' : `, after ${attempts} attempts`
  const said = why.startsWith(`${key}: `) ? why.slice(key.length + 2) : why
  return new LoadItError('MILL_REMOTE', `The remote store failed at ${key}: ${said}${after}`, {
    key,
    status: typeof status === 'number' ? status : 0,
    attempts,
    cause,
  })
}
