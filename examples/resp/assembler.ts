import { badNumber, Type, tooLong, unexpected } from './scalars.js'
import { NIL, RespAttributed, RespMap, RespPush, RespSet, type RespValue } from './values.js'

/** An aggregate that waits for more of its items. */
interface Open {
  readonly type: number
  /** Items still to come; Infinity when an end mark will tell. */
  left: number
  readonly items: RespValue[]
}

/** The smallest value on the wire, `_\r\n`: what a declared item costs at the least. */
const SMALLEST = 3

/** Type of the open pair of attributes and the value they belong to. */
const ATTRIBUTED = -1

/**
 * Puts nested values together as their items come, with a list instead of recursion: depth costs no stack, and
 * a declared count costs nothing before its items are there.
 */
export class Assembler {
  readonly #maxDepth: number
  /** The aggregates around the innermost one. */
  readonly #outer: Open[] = []
  /** The innermost one. Looking it up at index length - 1 costs 40 ns when there is none: -1 is no index. */
  #top: Open | undefined

  constructor(maxDepth: number) {
    this.#maxDepth = maxDepth
  }

  /** True between two replies. */
  get idle(): boolean {
    return this.#top === undefined
  }

  /**
   * An aggregate begins whose header ended at `offset`; `room` is how many more bytes the reply may take. Returns the
   * reply if it was complete with this (an empty one), else undefined.
   */
  open(type: number, count: number, room: number, offset: number): RespValue | undefined {
    if (count === -1 && type === Type.array) return this.add(NIL)
    if (count < 0) throw badNumber(String(count), offset)
    if (count === Number.POSITIVE_INFINITY && (type === Type.attribute || type === Type.push)) {
      throw unexpected('a count', 0x3f, offset)
    }
    if (type === Type.push && !this.idle) throw unexpected('an item, not a push', type, offset)
    if (this.#depth() >= this.#maxDepth) throw tooLong('aggregates nested too deep', this.#maxDepth, offset)
    const left = type === Type.map || type === Type.attribute ? count * 2 : count
    if (left !== Number.POSITIVE_INFINITY && left * SMALLEST > room) throw tooLong('too many items', room, offset)
    this.#push({ type, left, items: [] })
    return left === 0 ? this.#close() : undefined
  }

  /** One value has come. Returns the whole reply if it was the last one missing, else undefined. */
  add(value: RespValue): RespValue | undefined {
    const top = this.#top
    if (top === undefined) return value
    top.items.push(value)
    return --top.left === 0 ? this.#close() : undefined
  }

  /** The end mark at `offset`. Returns as {@link add} does. */
  end(offset: number): RespValue | undefined {
    const top = this.#top
    if (top === undefined || top.left !== Number.POSITIVE_INFINITY) throw unexpected('a value', Type.end, offset)
    if (top.type === Type.map && top.items.length % 2 === 1) throw unexpected('the value of a key', Type.end, offset)
    return this.#close()
  }

  #depth(): number {
    return this.#top === undefined ? 0 : this.#outer.length + 1
  }

  #push(open: Open): void {
    if (this.#top !== undefined) this.#outer.push(this.#top)
    this.#top = open
  }

  /** The innermost aggregate is complete: hand it to the one around it. */
  #close(): RespValue | undefined {
    const { type, items } = this.#top as Open
    this.#top = this.#outer.pop()
    switch (type) {
      case Type.map:
        return this.add(pairs(items))
      case Type.set:
        return this.add(new RespSet(items))
      case Type.push:
        return this.add(new RespPush(items))
      case Type.attribute:
        // Not a value yet: it belongs to the next one, wherever that ends.
        this.#push({ type: ATTRIBUTED, left: 1, items: [pairs(items)] })
        return undefined
      case ATTRIBUTED:
        return this.add(new RespAttributed(items[0] as RespMap, items[1] as RespValue))
      default:
        return this.add(items)
    }
  }
}

function pairs(items: RespValue[]): RespMap {
  const entries: [RespValue, RespValue][] = []
  for (let i = 0; i < items.length; i += 2) entries.push([items[i] as RespValue, items[i + 1] as RespValue])
  return new RespMap(entries)
}
