import { BufferError, type Bytes, type Parser, type ParserInput } from 'millrace'
import { checkExtensions, checkField, hexDigit } from './characters.js'

const CR = 13
const LF = 10
/** Leading zeros are legal, but 13 digits are 4 PiB already: nobody needs more, and it is a safe integer. */
const MAX_DIGITS = 13

/** Limits, in bytes. */
export interface ChunkedBodyOptions {
  /** Longest line: a chunk's size with its extensions, or a trailer field. Default 4096. */
  maxLine?: number
  /** All extensions and trailers of a body together: peers send one byte of body in lines of 4 KB. Default 16384. */
  maxExtra?: number
  /** The whole body, decoded. Default 2^30. */
  maxBody?: number
  /** Longest piece that is handed out; a longer chunk comes in several. Default 65536. */
  maxPiece?: number
  /** Called for each trailer field, before the parser ends. They are no headers: do not merge them. */
  onTrailer?: (name: string, value: string) => void
}

/**
 * An HTTP/1.1 body in chunked coding (RFC 9112, section 7.1): emits the body in pieces, and ends where it ends. It
 * accepts what the grammar allows and nothing else, since two parsers that disagree are a way in: no sign, blank or
 * `0x` in a size, no bare CR or LF, no folded fields. Faults are `BufferError`s: `MILL_BAD_NUMBER`,
 * `MILL_UNEXPECTED_BYTES`, `MILL_TOO_LONG`, `MILL_UNEXPECTED_END`; bytes after the body are `MILL_TRAILING_DATA`.
 */
export function chunkedBody(options: ChunkedBodyOptions = {}): Parser<Bytes> {
  const { maxLine = 4096, maxExtra = 16384, maxBody = 2 ** 30, maxPiece = 65536, onTrailer } = options
  return function* (input: ParserInput<Bytes>) {
    const { queue } = input
    const line = { max: maxLine }
    let body = 0
    let extra = 0
    // Bytes of the line end behind the last chunk, which is looked at together with the size that follows it.
    let lead = 0
    for (;;) {
      const offset = input.offset + lead
      let digits = 0
      let size = 0
      if (lead === 0 || (queue.at(0) === CR && queue.at(1) === LF)) {
        for (
          let digit = hexDigit(queue.at(lead));
          digit >= 0 && digits < MAX_DIGITS;
          digit = hexDigit(queue.at(lead + ++digits))
        ) {
          size = size * 16 + digit
        }
      }
      // Measured: a plain size that is here already, which is nearly every one, takes 60 ns less without `until`.
      const end = lead + digits
      if (digits > 0 && queue.at(end) === CR && queue.at(end + 1) === LF) yield* input.skip(end + 2)
      else {
        if (lead > 0) yield* input.expect('\r\n')
        const header = yield* input.until('\r\n', line)
        digits = sizeDigits(header, offset)
        size = 0
        for (let i = 0; i < digits; i++) size = size * 16 + hexDigit(header.at(i))
        extra += header.length - digits
        if (extra > maxExtra) throw tooLong('extensions', maxExtra, offset)
        checkExtensions(header, digits, offset)
      }
      if (size === 0) break
      body += size
      if (body > maxBody) throw tooLong('the body', maxBody, offset)
      let left = size
      for (; left > maxPiece; left -= maxPiece) input.emit(yield* input.take(maxPiece))
      input.emit(yield* input.take(left))
      lead = 2
    }
    for (;;) {
      const offset = input.offset
      const field = yield* input.until('\r\n', line)
      if (field.length === 0) return
      extra += field.length
      if (extra > maxExtra) throw tooLong('trailers', maxExtra, offset)
      const colon = checkField(field, offset)
      onTrailer?.(
        field.slice(0, colon).toString('latin1'),
        field
          .slice(colon + 1)
          .strip(' \t')
          .toString('latin1'),
      )
    }
  }
}

/** How many hexadecimal digits the line begins with: at least one, and not more than a safe integer has. */
function sizeDigits(header: Bytes, offset: number): number {
  let digits = 0
  while (hexDigit(header.at(digits)) >= 0) digits++
  if (digits > 0 && digits <= MAX_DIGITS) return digits
  const text = header.slice(0, 32).toString('latin1')
  throw new BufferError('MILL_BAD_NUMBER', `no size of a chunk at offset ${offset}: ${JSON.stringify(text)}`, {
    offset,
    text,
  })
}

function tooLong(what: string, limit: number, offset: number): BufferError {
  return new BufferError('MILL_TOO_LONG', `${what} at offset ${offset}: more than ${limit} bytes`, { limit, offset })
}
