import { BufferError } from 'millrace'

/** How a field is written (protobuf's wire types). */
const Wire = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const

/**
 * Reads the fields of one protobuf message, in one pass; used again for the next. A message that ends inside a field
 * is `MILL_UNEXPECTED_END`, a number beyond 2^53-1 `MILL_BAD_NUMBER`, a field of the wrong kind `MILL_UNEXPECTED_BYTES`.
 */
export class MessageReader {
  /** Number of the field that {@link next} found. */
  field = 0
  #wire = 0
  #bytes: Uint8Array = new Uint8Array()
  #view: Buffer = Buffer.alloc(0)
  #at = 0
  /** Where in the input the message is, for errors. */
  #offset = 0

  /** Begins with a message; `offset` is where it is in the input. Points at it. */
  open(message: Uint8Array, offset: number): void {
    this.#bytes = message
    this.#view = Buffer.from(message.buffer, message.byteOffset, message.length)
    this.#at = 0
    this.#offset = offset
  }

  /** Goes to the next field. False: there is none. Each field must then be read or skipped. */
  next(): boolean {
    if (this.#at === this.#bytes.length) return false
    const key = this.#number()
    this.field = Math.floor(key / 8)
    this.#wire = key % 8
    return true
  }

  /** The field as an unsigned integer. */
  varint(): number {
    this.#expect(Wire.varint)
    return this.#number()
  }

  /** The field as a signed integer in zigzag: 0, -1, 1, -2, … */
  sint(): number {
    const value = this.varint()
    return value % 2 === 1 ? -(value + 1) / 2 : value / 2
  }

  /** The field as text. */
  string(): string {
    this.#expect(Wire.bytes)
    const start = this.#skipBytes(this.#number())
    return this.#view.toString('utf8', start, this.#at)
  }

  /** Passes over the field, whatever it is. */
  skip(): void {
    if (this.#wire === Wire.varint) this.#number()
    else if (this.#wire === Wire.bytes) this.#skipBytes(this.#number())
    else if (this.#wire === Wire.fixed64) this.#skipBytes(8)
    else if (this.#wire === Wire.fixed32) this.#skipBytes(4)
    else throw this.#fault('MILL_UNEXPECTED_BYTES', `unknown wire type ${this.#wire}`)
  }

  #skipBytes(count: number): number {
    const start = this.#at
    if (count > this.#bytes.length - start) throw this.#fault('MILL_UNEXPECTED_END', 'the message ends inside a field')
    this.#at += count
    return start
  }

  /** Base 128, low digits first; the high bit says that more follow. */
  #number(): number {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#bytes[this.#at++]
      if (byte === undefined) throw this.#fault('MILL_UNEXPECTED_END', 'the message ends inside a number')
      value += (byte & 127) * scale
      if (value > Number.MAX_SAFE_INTEGER) throw this.#fault('MILL_BAD_NUMBER', 'a number beyond 2^53-1')
      if (byte < 128) return value
    }
  }

  #expect(wire: number): void {
    if (this.#wire !== wire)
      throw this.#fault('MILL_UNEXPECTED_BYTES', `field ${this.field} has wire type ${this.#wire}`)
  }

  #fault(code: 'MILL_UNEXPECTED_END' | 'MILL_BAD_NUMBER' | 'MILL_UNEXPECTED_BYTES', text: string): BufferError {
    const offset = this.#offset + this.#at
    return new BufferError(code, `${text}, at offset ${offset}`, { offset })
  }
}
