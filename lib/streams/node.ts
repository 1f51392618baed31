import { Duplex, Readable } from 'node:stream'
import { nodeFace, type ReadableFace } from './face.js'
import { isAnyBytes, piecesOf, unsupportedItem } from './shape.js'
import type { Tap } from './tap.js'
import type { WebWritten } from './web.js'

type Face = InstanceType<typeof ReadableFace>

/** What Node keeps in its own buffer of an adapter: ours waits before it. */
const NODE_MARK = 1
/** Items that may be on their way into ours. */
const WRITTEN_ITEMS = 16

/** A Buffer on the same memory; everything else as it is. */
function asBuffer(item: unknown): unknown {
  if (!(item instanceof Uint8Array) || Buffer.isBuffer(item)) return item
  return Buffer.from(item.buffer, item.byteOffset, item.byteLength)
}

/** Moves a tap's items into a Node stream. */
class Pusher {
  readonly #node: Readable
  readonly #tap: Tap<unknown>
  readonly #objectMode: boolean
  #waiting = false
  /** What ends the stream once Node has given away what it holds. */
  #fault: Error | undefined

  constructor(node: Readable, tap: Tap<unknown>, objectMode: boolean) {
    this.#node = node
    this.#tap = tap
    this.#objectMode = objectMode
    tap.onfail = (error) => {
      if (node.readableLength === 0) node.destroy(error)
      else this.#fault = error
    }
  }

  /** One item for each time Node asks: what waits, waits on our side, and a fault takes nothing with it. */
  fill(): void {
    if (this.#waiting) return
    if (this.#fault !== undefined) {
      this.#node.destroy(this.#fault)
      return
    }
    const item = this.#tap.take()
    if (item === undefined) this.#wait()
    else this.#push(item)
  }

  #push(item: unknown): void {
    if (this.#objectMode) this.#node.push(asBuffer(item))
    else if (typeof item === 'string') this.#node.push(item)
    else if (isAnyBytes(item)) this.#pushBytes(piecesOf(item))
    else this.#node.destroy(unsupportedItem(item, 'bytes or a string for a byte stream'))
  }

  #pushBytes(pieces: Uint8Array[]): void {
    for (const piece of pieces) this.#node.push(asBuffer(piece))
    if (pieces.length === 0) this.fill() // Node asks again only after a push
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
  return { objectMode, highWaterMark: NODE_MARK }
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
    writableHighWaterMark: WRITTEN_ITEMS,
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
