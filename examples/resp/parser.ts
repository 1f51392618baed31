import { Bytes, isMillraceError, type Parser, type ParserInput } from 'millrace'
import { Assembler } from './assembler.js'
import {
  checkLength,
  Kind,
  kinds,
  MAX_LINE,
  scalar,
  stringValue,
  Type,
  tooLong,
  UNKNOWN_LENGTH,
  unexpected,
} from './scalars.js'
import { NIL, type RespOptions, type RespValue } from './values.js'

const LINE = { max: MAX_LINE }

/**
 * A parser for RESP2 and RESP3, requests as well as replies. Faults are `BufferError`s: `MILL_UNEXPECTED_BYTES`,
 * `MILL_BAD_NUMBER`, `MILL_TOO_LONG` (a limit, as soon as it is declared or passed), `MILL_UNEXPECTED_END`.
 */
export function respParser({ maxBytes = 2 ** 29, maxDepth = 64 }: RespOptions = {}): Parser<RespValue> {
  return function* (input) {
    const assembler = new Assembler(maxDepth)
    let start = 0
    for (;;) {
      if (assembler.idle) {
        if (!(yield* input.more())) return
        start = input.offset
      }
      const type = yield* input.uint8()
      const kind = kinds[type]
      const offset = input.offset
      let reply: RespValue | undefined
      if (kind === Kind.line) {
        const line = yield* input.until('\r\n', LINE)
        reply = assembler.add(scalar(type, line.toString(), offset))
      } else if (kind === Kind.string || kind === Kind.aggregate) {
        let length: number
        try {
          length = yield* input.integer('\r\n')
        } catch (error) {
          if (!isMillraceError(error, 'MILL_BAD_NUMBER') || input.queue.at(0) !== UNKNOWN_LENGTH) throw error
          yield* input.expect('?\r\n')
          length = Number.POSITIVE_INFINITY
        }
        const room = maxBytes - (input.offset - start)
        if (kind === Kind.aggregate) reply = assembler.open(type, length, room, offset)
        else if (length === -1 && type === Type.bulk) reply = assembler.add(NIL)
        else if (length === Number.POSITIVE_INFINITY && type === Type.bulk) {
          reply = assembler.add(yield* stringInParts(input, room))
        } else {
          checkLength(length, room, offset)
          const body = yield* input.take(length)
          yield* input.expect('\r\n')
          reply = assembler.add(stringValue(type, body, offset))
        }
      } else if (kind === Kind.end) {
        yield* input.expect('\r\n')
        reply = assembler.end(offset - 1)
      } else throw unexpected('a type of RESP', type, offset - 1)
      if (input.offset - start > maxBytes) throw tooLong('a reply', maxBytes, start)
      if (reply !== undefined) input.emit(reply)
    }
  }
}

/** With the limits of {@link respParser} as they are by default: `new ChunkedBuffer({ parser: replies })`. */
export const replies: Parser<RespValue> = respParser()

/** `;4\r\nHell\r\n;1\r\no\r\n;0\r\n` */
function* stringInParts(input: ParserInput<RespValue>, room: number): Generator<void, Bytes, void> {
  const parts: Bytes[] = []
  const start = input.offset
  for (;;) {
    yield* input.expect(';')
    const offset = input.offset
    const length = yield* input.integer('\r\n')
    if (length === 0) return Bytes.merge(parts)
    checkLength(length, room - (input.offset - start), offset)
    parts.push(yield* input.take(length))
    yield* input.expect('\r\n')
  }
}
