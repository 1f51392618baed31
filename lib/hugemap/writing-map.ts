import { MapBase, type MapParts } from './map-base.js'
import type { MapWriter } from './map-writer.js'

/** A map that is written to, and by what: all that batches, transactions and caches need to know of a `HugeMap`. */
export abstract class WritingMap<K, V> extends MapBase<K, V> {
  /** The folder, or what its store is called. */
  readonly path: string
  /** Which map of the folder. */
  readonly name: string
  /** @internal */
  readonly _writer: MapWriter<K, V>

  constructor(parts: MapParts<K, V>, writer: MapWriter<K, V>, path: string, name: string) {
    super(parts)
    this._writer = writer
    this.path = path
    this.name = name
  }

  /** @internal */
  override _label(): string {
    return labelOf(this.path, this.name)
  }
}

/** For errors: which map. */
export function labelOf(path: string, name: string): string {
  return name === '' ? `The map ${path}` : `The map '${name}' of ${path}`
}
