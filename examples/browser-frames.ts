import { type Bytes, FrameParser, type Parser, type ParserInput } from 'millrace/buffer'

/** A parser as a TransformStream: runs wherever there are Web streams, and needs nothing but `millrace/buffer`. */
export function frames<F>(parser: Parser<F>): TransformStream<Uint8Array, F> {
  const frameParser = new FrameParser(parser)
  const feed = (step: () => F[], controller: TransformStreamDefaultController<F>): void => {
    try {
      for (const frame of step()) controller.enqueue(frame)
    } catch (error) {
      // What was complete before the fault still goes out.
      for (const frame of frameParser.frames) controller.enqueue(frame)
      throw error
    }
  }
  return new TransformStream({
    transform: (chunk, controller) => feed(() => frameParser.push(chunk), controller),
    flush: (controller) => feed(() => frameParser.end(), controller),
  })
}

/** Server-sent events: the text of each, without its `data: `. */
function* events(input: ParserInput<string>): Generator<void, void, void> {
  let data: Bytes[] = []
  while (yield* input.more()) {
    const line = yield* input.line({ max: 65536 })
    if (line === undefined) return
    if (line.startsWith('data: ')) data.push(line.slice(6))
    else if (line.length === 0 && data.length > 0) {
      input.emit(data.join('\n'))
      data = []
    }
  }
}

// In a browser this is `response.body`.
const wire = new TextEncoder().encode('data: up\n\ndata: over\ndata: and down\n\n: a comment\n\ndata: again\n\n')
const body = new ReadableStream<Uint8Array>({
  start(controller) {
    for (let at = 0; at < wire.length; at += 5) controller.enqueue(wire.subarray(at, at + 5))
    controller.close()
  },
})
const seen: string[] = []
const reader = body.pipeThrough(frames(events)).getReader()
for (let next = await reader.read(); !next.done; next = await reader.read()) seen.push(next.value)
console.log(`${seen.length} events: ${JSON.stringify(seen)}`)
