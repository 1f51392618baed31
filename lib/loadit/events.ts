import type { LoadItEvents } from '../../types/load-it.js'
import { ArgumentError } from '../base/errors.js'

type Name = keyof LoadItEvents
type Told = (event: never) => void

const NAMES: Record<Name, true> = {
  generated: true,
  fetched: true,
  evicted: true,
  waiting: true,
  takeover: true,
  corrupt: true,
  restart: true,
  length: true,
  warning: true,
}

/** Who listens to a loader. What a listener throws is thrown in a turn of its own: it must not stop the work. */
export class Events {
  readonly #listeners = new Map<Name, { readonly fn: Told; readonly once: boolean }[]>()

  /** Throws `MILL_INVALID_ARGUMENT` for a name there is no event of, and for what is no function. */
  add(event: unknown, fn: unknown, once: boolean): void {
    if (typeof event !== 'string' || !Object.hasOwn(NAMES, event)) {
      throw new ArgumentError('event', `one of ${Object.keys(NAMES).join(', ')}`, event)
    }
    if (typeof fn !== 'function') throw new ArgumentError('fn', 'a function', fn)
    const list = this.#listeners.get(event as Name) ?? []
    this.#listeners.set(event as Name, [...list, { fn: fn as Told, once }])
  }

  remove(event: unknown, fn: unknown): void {
    const list = this.#listeners.get(event as Name)
    const at = list?.findIndex((one) => one.fn === fn) ?? -1
    if (list !== undefined && at >= 0) this.#listeners.set(event as Name, list.toSpliced(at, 1))
  }

  emit<E extends Name>(event: E, value: LoadItEvents[E]): void {
    const list = this.#listeners.get(event)
    if (list === undefined) return
    for (const { fn, once } of list) {
      if (once) this.remove(event, fn)
      try {
        ;(fn as (event: LoadItEvents[E]) => void)(value)
      } catch (error) {
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }
}
