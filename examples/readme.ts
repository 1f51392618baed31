import { createReadStream } from 'node:fs'
import { type Bytes, ChunkedBuffer, type ParserInput } from 'millrace'

function* messages(input: ParserInput<Bytes>) {
  while (yield* input.more()) {
    const length = yield* input.integer('\r\n')
    input.emit(yield* input.take(length)) // zero-copy, however the pieces were cut
    yield* input.expect('\r\n')
  }
}
const stream = createReadStream('examples/messages.txt')
for await (const message of stream.pipe(new ChunkedBuffer({ parser: messages }))) console.log(message.toString())
