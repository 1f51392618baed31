import type { Snapshot } from '../../types/hugemap.js'
import type { LocalSnapshot } from '../../types/store.js'
import { MapBase, type MapParts } from './map-base.js'

/** Milliseconds after which a state that is still read is worth a word. */
const OLD_MS = 60_000

let warned = false

/** Warns, once per process, if the returned function has not been called for a minute. */
export function watchAge(): () => void {
  if (warned) return () => {}
  const timer = setTimeout(() => {
    if (warned) return
    warned = true
    process.emitWarning(
      'A snapshot or stream of a HugeMap has been open for a minute: its pages are kept, and the file grows as others write (a stream can be live: true)',
      { type: 'MillraceWarning', code: 'MILL_OLD_SNAPSHOT' },
    )
  }, OLD_MS)
  timer.unref()
  return () => clearTimeout(timer)
}

/** One state of a map. */
export class MapSnapshot<K, V> extends MapBase<K, V> implements Snapshot<K, V> {
  readonly #at: LocalSnapshot
  readonly #label: string
  readonly #forget: readonly (() => void)[]

  constructor(parts: MapParts<K, V> & { readonly at: LocalSnapshot }, label: string, forget: () => void) {
    super(parts)
    this.#at = parts.at
    this.#label = label
    this.#forget = [watchAge(), forget]
  }

  override _label(): string {
    return this.#label
  }

  close(): void {
    if (this._closed) return
    this._shut()
    this.#at.close()
    for (const forget of this.#forget) forget()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
