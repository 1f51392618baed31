import type { LocalStore, Store } from '../../types/store.js'

/** What others in this room, which build on a map, may see of it. */
export interface Inside<S extends Store = LocalStore> {
  readonly store: S
  readonly closed: boolean
  /** `close()` of the map calls this, and waits for it. */
  onClose(close: () => Promise<void>): void
}
