import { type AnyBytes, BufferError, ByteQueue, type ByteQueueOptions, Bytes } from 'millrace'
import { Assembler } from './assembler.js'
import { checkLength, Kind, kinds, MAX_LINE, scalar, stringValue, Type, tooLong, unexpected } from './scalars.js'
import { takeBody, takeCrLf, takeLength } from './take.js'
import { NIL, RespError, type RespOptions, type RespValue } from './values.js'

/** What the reader waits for. The first five are a type byte, and what {@link Kind} says comes after it. */
const State = {
  type: 0,
  line: 1,
  string: 2,
  aggregate: 3,
  end: 4,
  body: 5,
  part: 6,
  partLength: 7,
  partBody: 8,
} as const
type State = (typeof State)[keyof typeof State]

const CR = 13
const LF = 10
const MINUS = 0x2d
/** Longest header of a value that the fast path reads, in bytes: type, sign, 15 digits, line end. */
const HEADER = 19

/**
 * The parser of parser.ts as a loop by hand over a ByteQueue, for who needs the last nanosecond: no generator. What
 * lies whole in the piece that has just come is read with an index; the rest in steps, each of which is tried, and
 * where the bytes end it stops and goes on from there next time. Same values, limits and errors.
 */
export class RespReader {
  readonly queue: ByteQueue
  /** The values of the last `push`; if that threw, the ones completed before the fault. */
  values: RespValue[] = []
  readonly #assembler: Assembler
  readonly #maxBytes: number
  #state: State = State.type
  /** Type of the value being read, and where it goes on after that byte. */
  #type = 0
  #offset = 0
  /** Where the whole reply began. */
  #start = 0
  /** Declared length of the string, or of the part of one, that is being read. */
  #length = 0
  #parts: Bytes[] = []

  constructor({ maxBytes = 2 ** 29, maxDepth = 64, ...queue }: RespOptions & ByteQueueOptions = {}) {
    this.queue = new ByteQueue(queue)
    this.#assembler = new Assembler(maxDepth)
    this.#maxBytes = maxBytes
  }

  /** Takes in bytes, returns the values that are complete now. After it threw, the reader is of no more use. */
  push(data: AnyBytes): RespValue[] {
    const u8 = data instanceof Uint8Array ? data : Bytes.from(data).toUint8Array()
    this.queue.append(u8)
    this.values = []
    do this.#scan(u8)
    while (this.#step())
    return this.values
  }

  /** The input has ended: throws `MILL_UNEXPECTED_END` if that was inside a value. */
  end(): void {
    if (this.#state === State.type && this.#assembler.idle) return
    const { offset, length } = this.queue
    const message = `the input ended inside a value, at offset ${offset + length}`
    throw new BufferError('MILL_UNEXPECTED_END', message, { available: length, offset })
  }

  /**
   * The fast path: `u8` is the piece just appended. Reads the values that begin and end in it, of the types that make up
   * most replies, and stops before the first it is not sure about: `#step` then takes that, or says what is wrong.
   */
  #scan(u8: Uint8Array): void {
    const { queue, values } = this
    const assembler = this.#assembler
    // Are there bytes left from before this piece?
    if (this.#state !== State.type || queue.length > u8.length) return
    const { length } = u8
    let taken = length - queue.length
    let at = taken
    /** Position of u8[0] in the input. */
    const base = queue.offset - taken
    // Most lines are the same as the one before, `+OK`: comparing takes 5 ns, decoding 60.
    let line = ''
    let lineStart = 0
    let lineEnd = 0
    while (at + HEADER <= length) {
      if (assembler.idle) this.#start = base + at
      const limit = this.#start + this.#maxBytes - base
      const type = u8[at] as number
      let i = at + 1
      let reply: RespValue | undefined
      if (type === Type.simple || type === Type.error) {
        while (i < length && u8[i] !== CR) i++
        if (i - at > MAX_LINE || u8[i + 1] !== LF || i + 2 > limit) break
        if (!sameBytes(u8, at + 1, i, lineStart, lineEnd)) {
          line = Buffer.from(u8.buffer, u8.byteOffset + at + 1, i - at - 1).toString()
          lineStart = at + 1
          lineEnd = i
        }
        reply = assembler.add(type === Type.simple ? line : new RespError(line))
        i += 2
      } else if (type === Type.integer || type === Type.bulk || kinds[type] === Kind.aggregate) {
        const negative = u8[i] === MINUS
        if (negative) i++
        const first = i
        let number = 0
        for (let digit = (u8[i] as number) - 48; digit >= 0 && digit <= 9 && i < first + 16; ) {
          number = number * 10 + digit
          digit = (u8[++i] as number) - 48
        }
        if (i === first || i > first + 15 || u8[i] !== CR || u8[i + 1] !== LF) break
        i += 2
        if (type === Type.integer) {
          if (i > limit) break
          reply = assembler.add(negative && number !== 0 ? -number : number)
        } else if (type !== Type.bulk) {
          if (negative || i > limit) break
          reply = assembler.open(type, number, limit - i, base + at + 1)
        } else if (negative) {
          if (number !== 1 || i > limit) break
          reply = assembler.add(NIL)
        } else {
          const end = i + number
          if (end + 2 > length || end + 2 > limit || u8[end] !== CR || u8[end + 1] !== LF) break
          queue.skip(i - taken)
          reply = assembler.add(queue.take(number))
          taken = end
          i = end + 2
        }
      } else break
      at = i
      if (reply !== undefined) values.push(reply)
    }
    queue.skip(at - taken)
  }

  /** One step; false: it needs more bytes, and has consumed nothing. */
  #step(): boolean {
    const { queue } = this
    switch (this.#state) {
      case State.type: {
        const type = queue.takeUInt8()
        if (type === undefined) return false
        this.#type = type
        this.#offset = queue.offset
        if (this.#assembler.idle) this.#start = this.#offset - 1
        this.#state = kinds[type] as State
        if (kinds[type] === Kind.unknown) throw unexpected('a type of RESP', type, this.#offset - 1)
        return true
      }
      case State.line: {
        const line = queue.takeUntil('\r\n')
        // One byte more than a line may have can be the first of its end.
        if (line === undefined ? queue.length > MAX_LINE + 1 : line.length > MAX_LINE) {
          throw tooLong('a line', MAX_LINE, this.#offset)
        }
        return line !== undefined && this.#add(scalar(this.#type, line.toString(), this.#offset))
      }
      case State.string: {
        const length = takeLength(queue)
        if (length === undefined) return false
        if (this.#type === Type.bulk && length === -1) return this.#add(NIL)
        if (this.#type === Type.bulk && length === Number.POSITIVE_INFINITY) {
          this.#parts = []
          return this.#next(State.part)
        }
        checkLength(length, this.#room(), this.#offset)
        this.#length = length
        return this.#next(State.body)
      }
      case State.body: {
        const body = takeBody(queue, this.#length)
        return body !== undefined && this.#add(stringValue(this.#type, body, this.#offset))
      }
      case State.aggregate: {
        const count = takeLength(queue)
        if (count === undefined) return false
        return this.#done(this.#assembler.open(this.#type, count, this.#room(), this.#offset))
      }
      case State.end:
        return takeCrLf(queue) && this.#done(this.#assembler.end(this.#offset - 1))
      default:
        return this.#stepInParts()
    }
  }

  /** `;4\r\nHell\r\n;1\r\no\r\n;0\r\n` */
  #stepInParts(): boolean {
    const { queue } = this
    if (this.#state === State.part) {
      const type = queue.takeUInt8()
      if (type === undefined) return false
      if (type !== Type.part) throw unexpected('a part', type, queue.offset - 1)
      return this.#next(State.partLength)
    }
    if (this.#state === State.partLength) {
      const { offset } = queue
      const length = queue.takeInteger('\r\n')
      if (length === undefined) return false
      if (length === 0) return this.#add(Bytes.merge(this.#parts))
      checkLength(length, this.#room(), offset)
      this.#length = length
      return this.#next(State.partBody)
    }
    const part = takeBody(queue, this.#length)
    if (part === undefined) return false
    this.#parts.push(part)
    return this.#next(State.part)
  }

  #next(state: State): true {
    this.#state = state
    return true
  }

  /** How many more bytes the reply may take. */
  #room(): number {
    return this.#maxBytes - (this.queue.offset - this.#start)
  }

  #add(value: RespValue): true {
    return this.#done(this.#assembler.add(value))
  }

  /** A value is complete, and with it perhaps the whole reply. */
  #done(reply: RespValue | undefined): true {
    if (this.#room() < 0) throw tooLong('a reply', this.#maxBytes, this.#start)
    if (reply !== undefined) this.values.push(reply)
    return this.#next(State.type)
  }
}

/** Are the bytes from `from` to `to` the same as those from `start` to `end`? */
function sameBytes(u8: Uint8Array, from: number, to: number, start: number, end: number): boolean {
  if (to - from !== end - start) return false
  for (let i = from, j = start; i < to; i++, j++) if (u8[i] !== u8[j]) return false
  return true
}
