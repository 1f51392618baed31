/**
 * Elements are compared one by one, numbers by value and before strings, strings by code points; a key comes before those
 * it begins. At most 64 bytes encoded: a number takes 9 at most, a string its UTF-8 and 2. Neither NaN nor −0.
 */
export type CatalogKey = readonly [string, ...(string | number)[]]

/**
 * A small book that several processes write: sorted keys, plain JSON-like values of up to 64 KiB, and transactions that
 * are alone among all processes. What is kept in it is never big, and never read in a hurry.
 */
export interface Catalog {
  /** A fresh value each time; undefined: no such key. Outside `transact` one state per turn of the event loop. */
  get(key: CatalogKey): unknown
  /** The entries from `from` on that come before `to`, as they are at this moment; `reverse`: from the last one back. */
  range(
    from: CatalogKey,
    to: CatalogKey,
    options?: { reverse?: boolean; limit?: number },
  ): Iterable<readonly [CatalogKey, unknown]>
  /** Only within `transact`. `MILL_INVALID_ARGUMENT` for a value that JSON would change or that is too big. */
  put(key: CatalogKey, value: unknown): void
  /** Only within `transact`. False: it was not there. */
  delete(key: CatalogKey): boolean
  /**
   * Runs `work` alone among all processes; waits for them, blocking. Reads inside see the newest state and what was put. A
   * throw undoes everything and is rethrown. When it returns, the changes survive the end of this process, and of the
   * machine where the catalog is on a disk.
   */
  transact<R>(work: () => R): R
  /** The next read outside `transact` sees what other processes have done until then. */
  refresh(): void
  /** Idempotent. Afterwards every call is `MILL_CLOSED`. */
  close(): Promise<void>
}
