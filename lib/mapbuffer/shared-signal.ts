type Watcher = (reason: unknown) => void

const watched = new WeakMap<AbortSignal, Set<Watcher>>()

/**
 * Calls `fn` with the reason once the signal aborts, at once if it has; the returned function takes it back. However
 * many wait for a signal, it has one listener of ours: fifty lookups that share one are no leak, of which Node would
 * warn, and to add a listener does not take a walk past the thousands of pages that one lookup waits for.
 */
export function onSharedAbort(signal: AbortSignal | undefined, fn: Watcher): () => void {
  if (signal === undefined) return () => {}
  if (signal.aborted) {
    fn(signal.reason)
    return () => {}
  }
  const watchers = watched.get(signal) ?? watch(signal)
  watchers.add(fn)
  return () => {
    watchers.delete(fn)
    if (watchers.size === 0 && watched.get(signal) === watchers) {
      watched.delete(signal)
      signal.removeEventListener('abort', tell)
    }
  }
}

function watch(signal: AbortSignal): Set<Watcher> {
  const watchers = new Set<Watcher>()
  watched.set(signal, watchers)
  signal.addEventListener('abort', tell, { once: true })
  return watchers
}

/** One function for all signals, so that it can be taken off again. */
function tell(this: AbortSignal): void {
  const watchers = watched.get(this)
  watched.delete(this)
  for (const fn of watchers ?? []) fn(this.reason)
}
