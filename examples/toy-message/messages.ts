import type { ByteQueue, Bytes, ParserInput } from 'millrace'

/** What {@link takeParts} has to remember between two calls: how much of the current message is still to come. */
export interface Progress {
  remaining: number | undefined
}

/**
 * The toy protocol, `<length>\r\n<payload>\r\n` again and again, by hand: takes from `queue` what is there and returns
 * pointers to it. A payload that has not come whole comes in parts, so nothing ever waits for its end.
 */
export function takeParts(queue: ByteQueue, progress: Progress): Bytes[] {
  const parts: Bytes[] = []
  for (;;) {
    if (progress.remaining !== undefined) {
      // At most that many: on a network there may be less.
      const part = queue.take(progress.remaining)
      if (part.length > 0) {
        parts.push(part)
        progress.remaining -= part.length
      }
      if (progress.remaining > 0 || queue.length < 2) return parts
      queue.skip(2)
      progress.remaining = undefined
    }
    // No delimiter yet: come again with more. The queue remembers how far it has looked.
    const index = queue.find('\r\n')
    if (index === -1) return parts
    // `Bytes` turn into numbers as strings do, and Number() does not mind the line end.
    progress.remaining = Number(queue.take(index + 2))
  }
}

/** The same protocol as a parser: whole messages, and every fault is an error with a code. */
export function* messages(input: ParserInput<Bytes>): Generator<void, void, void> {
  while (yield* input.more()) {
    const length = yield* input.integer('\r\n')
    const body = yield* input.take(length)
    yield* input.expect('\r\n')
    input.emit(body)
  }
}

/** One message as it goes over the wire. */
export function encode(payload: string): string {
  return `${new TextEncoder().encode(payload).length}\r\n${payload}\r\n`
}
