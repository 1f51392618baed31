import { Duplex, Readable } from 'node:stream'
import { Bytes } from '../buffer/index.js'
import { HIGH_WATER_MARK, nodeFace, type ReadableFace } from './face.js'
import { isAnyBytes, piecesOf, unsupportedItem } from './shape.js'
import type { Tap } from './tap.js'
import type { WebWritten } from './web.js'

type Face = InstanceType<typeof ReadableFace>

/** What Node keeps in its own buffer of an adapter in object mode; ours waits before it. */
const NODE_ITEMS = 16

/** A Buffer on the same memory; everything else as it is. */
function asBuffer(item: unknown): unknown {
  if (!(item instanceof Uint8Array) || Buffer.isBuffer(item)) return item
  return Buffer.from(item.buffer, item.byteOffset, item.byteLength)
}

/** Moves a tap's items into a Node stream while it has room. */
class Pusher {
  readonly #node: Readable
  readonly #tap: Tap<unknown>
  readonly #objectMode: boolean
  #waiting = false

  constructor(node: Readable, tap: Tap<unknown>, objectMode: boolean) {
    this.#node = node
    this.#tap = tap
    this.#objectMode = objectMode
    tap.onfail = (error) => node.destroy(error)
  }

  fill(): void {
    if (this.#waiting) return
    for (let room = true; room; ) {
      const item = this.#tap.take()
      if (item === undefined) {
        this.#wait()
        return
      }
      room = this.#push(item)
    }
  }

  #push(item: unknown): boolean {
    if (this.#objectMode) return this.#node.push(asBuffer(item))
    if (typeof item === 'string') return this.#node.push(item)
    if (!isAnyBytes(item)) {
      this.#node.destroy(unsupportedItem(item, 'bytes or a string for a byte stream'))
      return false
    }
    let room = true
    for (const piece of item instanceof Bytes ? item : piecesOf(item)) room = this.#node.push(asBuffer(piece))
    return room
  }

  #wait(): void {
    this.#waiting = true
    this.#tap.arrival().then(
      (there) => {
        this.#waiting = false
        if (there) this.fill()
        else this.#node.push(null)
      },
      (error) => this.#node.destroy(error),
    )
  }
}

function options(
  stream: Face,
  given: { objectMode?: boolean } | undefined,
): { objectMode: boolean; highWaterMark: number } {
  const objectMode = given?.objectMode ?? !stream._carriesBytes
  return { objectMode, highWaterMark: objectMode ? NODE_ITEMS : HIGH_WATER_MARK }
}

nodeFace.readable = (tapped, given) => {
  const stream = tapped as Face
  const { objectMode, highWaterMark } = options(stream, given)
  const tap = stream._claim()
  const node = new Readable({
    objectMode,
    highWaterMark,
    read: () => pusher.fill(),
    destroy(error, done) {
      if (!stream._finished) stream.destroy(error ?? undefined)
      done(error)
    },
  })
  const pusher = new Pusher(node, tap, objectMode)
  return node
}

nodeFace.duplex = (tapped, given) => {
  const stream = tapped as Face & WebWritten
  const { objectMode, highWaterMark } = options(stream, given)
  const tap = stream._claim()
  let resume: (() => void) | undefined
  let finished: (() => void) | undefined
  const node = new Duplex({
    readableObjectMode: objectMode,
    readableHighWaterMark: highWaterMark,
    writableObjectMode: true, // Bytes are taken too
    writableHighWaterMark: NODE_ITEMS,
    decodeStrings: false,
    read: () => pusher.fill(),
    write(chunk: unknown, encoding, done) {
      const item = typeof chunk === 'string' && encoding !== 'utf8' ? Buffer.from(chunk, encoding) : chunk
      if (stream.write(item)) done()
      else resume = done
    },
    final(done) {
      finished = done
      stream.end()
    },
    destroy(error, done) {
      if (error !== null || !stream._finished) stream.destroy(error ?? undefined)
      done(error)
    },
  })
  stream.on('drain', () => {
    const done = resume
    resume = undefined
    done?.()
  })
  stream.on('finish', () => finished?.())
  const pusher = new Pusher(node, tap, objectMode)
  return node
}
