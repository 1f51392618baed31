import type { Bytes } from 'millrace'

/**
 * A value of the Redis protocol, versions 2 and 3. Simple strings are `string`, bulk strings `Bytes` (not copied),
 * integers `number`, or `bigint` beyond 2^53-1, big numbers `bigint`, doubles `number`, arrays `Array`.
 */
export type RespValue =
  | string
  | number
  | bigint
  | boolean
  | Nil
  | Bytes
  | RespValue[]
  | RespError
  | RespVerbatim
  | RespMap
  | RespSet
  | RespPush
  | RespAttributed

/** The null of the protocol, in all its spellings. Not `null`, which no stream can carry: it would mean the end. */
export class Nil {
  toString(): string {
    return '(nil)'
  }
}

/** The one and only. */
export const NIL: Nil = new Nil()

/** An error as a value, simple or bulk. Not an `Error`: four bytes of input must not cost a stack trace. */
export class RespError {
  readonly message: string

  constructor(message: string) {
    this.message = message
  }

  /** Its first word, in Redis the kind of error: `ERR`, `WRONGTYPE`, … */
  get kind(): string {
    const space = this.message.indexOf(' ')
    return space === -1 ? this.message : this.message.slice(0, space)
  }
}

/** Text with its format, `txt` or `mkd`. */
export class RespVerbatim {
  readonly format: string
  readonly text: Bytes

  constructor(format: string, text: Bytes) {
    this.format = format
    this.text = text
  }
}

/** A map as the pairs that came, in their order: its keys can be any value, so no JavaScript object fits. */
export class RespMap {
  readonly entries: [RespValue, RespValue][]

  constructor(entries: [RespValue, RespValue][]) {
    this.entries = entries
  }

  /** The value of the first key that is this text, as a simple or a bulk string. */
  get(name: string): RespValue | undefined {
    for (const [key, value] of this.entries) {
      if (key === name || (key !== null && typeof key === 'object' && 'equals' in key && key.equals(name))) return value
    }
    return undefined
  }
}

/** A set, in the order it came. */
export class RespSet {
  readonly items: RespValue[]

  constructor(items: RespValue[]) {
    this.items = items
  }
}

/** Something the server sent unasked, between two replies. */
export class RespPush {
  readonly items: RespValue[]

  constructor(items: RespValue[]) {
    this.items = items
  }
}

/** A value and what was said about it. */
export class RespAttributed {
  readonly attributes: RespMap
  readonly value: RespValue

  constructor(attributes: RespMap, value: RespValue) {
    this.attributes = attributes
    this.value = value
  }
}

/** Limits of the two parsers. */
export interface RespOptions {
  /** Bytes one reply may take on the wire, with everything in it. Default 2^29: what Redis allows one string. */
  maxBytes?: number
  /** How deep aggregates may nest. Default 64: Redis itself never goes beyond 10. */
  maxDepth?: number
}
