import type { Catalog } from '../../types/catalog.js'
import { compareBytes } from '../base/bytes.js'
import { CatalogBook, type CatalogChange, type CatalogEngine, type CatalogEntry } from './catalog-book.js'

/** A catalog of this process alone, gone when it is closed: for disks that can't be written to, and for tests. */
export function memoryCatalog(): Catalog {
  return new CatalogBook(new MemoryEngine())
}

class MemoryEngine implements CatalogEngine {
  readonly path = 'in memory'
  /** Sorted by key. */
  #entries: CatalogEntry[] = []

  get(key: Uint8Array): Uint8Array | undefined {
    const entry = this.#entries[this.#place(key)]
    return entry !== undefined && compareBytes(entry[0], key) === 0 ? entry[1] : undefined
  }

  range(from: Uint8Array, to: Uint8Array, reverse: boolean, limit: number): CatalogEntry[] {
    const found = this.#entries.slice(this.#place(from), this.#place(to))
    if (reverse) found.reverse()
    return found.slice(0, limit)
  }

  locked(work: () => readonly CatalogChange[]): void {
    for (const { key, value } of work()) {
      const at = this.#place(key)
      const entry = this.#entries[at]
      const there = entry !== undefined && compareBytes(entry[0], key) === 0
      this.#entries.splice(at, there ? 1 : 0, ...(value === undefined ? [] : [[key, value] as const]))
    }
  }

  refresh(): void {
    // There is nobody else.
  }

  async close(): Promise<void> {
    this.#entries = []
  }

  /** Where the first key stands that is not before this one. */
  #place(key: Uint8Array): number {
    let low = 0
    let high = this.#entries.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compareBytes((this.#entries[middle] as CatalogEntry)[0], key) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
}
