import { allocate } from '../base/bytes.js'

/**
 * What a process and its side process say to each other, over a pipe each way. A frame, little-endian: `0 u32` bytes of
 * the body · `4 u8` type · `5` three zeros · `8 f64` sequence · body.
 */
export const FRAME_HEAD = 16

/** To the side process: a table to be made, or to be known by a number. JSON {@link OpenBody}. Answered by `READY`, unless its sequence is 0. */
export const OPEN = 1
/** Requests to be applied as one transaction: each `u32` byte length and the operations (see `operations.ts`). */
export const APPLY = 2
/** A table to be removed, JSON {@link OpenBody}. Answered as `APPLY` is, with one byte. */
export const DROP = 3
/** No more will come: tidy up and end. */
export const CLOSE = 4

/** From it: ready for work (sequence 0), or done with an `OPEN`. */
export const READY = 1
/** Everything up to this sequence is on the disk. For each request `u32` byte length and its result bytes. */
export const DONE = 2
/** Everything up to this sequence that has no answer has failed and changed nothing. JSON, see `failure.ts`. */
export const FAILED = 3
/** The transaction that begins with this sequence has the write lock. */
export const LOCKED = 4
/** JSON `Progress`. */
export const PROGRESS = 5
/** The program runs, and begins to wait for the lock. */
export const STARTED = 6
/** The environment failed in the transaction that ends with this sequence; the process ends. Ask the record. As `FAILED`. */
export const BROKEN = 7

/** JSON of what has been found so far. */
export const REPORT = 8

/** Body of `OPEN` and `DROP`. */
export interface OpenBody {
  readonly id: number
  readonly name: string
  /** There: make it unless it exists. JSON of a `TableConfig`. */
  readonly config?: object
}

/** The first 16 bytes of a frame whose body has so many bytes. */
export function frameHead(type: number, sequence: number, length: number): Uint8Array<ArrayBuffer> {
  const head = new Uint8Array(FRAME_HEAD)
  const view = new DataView(head.buffer)
  view.setUint32(0, length, true)
  view.setUint8(4, type)
  view.setFloat64(8, sequence, true)
  return head
}

/** Puts frames together that arrive in pieces, and copies nothing before a frame is complete. */
export class FrameReader {
  readonly #onFrame: (type: number, sequence: number, body: Uint8Array) => void
  #pieces: Uint8Array[] = []
  #held = 0
  #wanted = FRAME_HEAD

  /** @param onFrame gets each frame; `body` is a view of a piece where it came in one, and may be kept */
  constructor(onFrame: (type: number, sequence: number, body: Uint8Array) => void) {
    this.#onFrame = onFrame
  }

  push(piece: Uint8Array): void {
    this.#pieces.push(piece)
    this.#held += piece.length
    if (this.#held < this.#wanted) return
    const all = this.#pieces.length === 1 ? piece : this.#join()
    const view = new DataView(all.buffer, all.byteOffset, all.length)
    let at = 0
    this.#wanted = FRAME_HEAD
    while (all.length - at >= FRAME_HEAD) {
      const end = at + FRAME_HEAD + view.getUint32(at, true)
      if (end > all.length) {
        this.#wanted = end - at
        break
      }
      this.#onFrame(view.getUint8(at + 4), view.getFloat64(at + 8, true), all.subarray(at + FRAME_HEAD, end))
      at = end
    }
    this.#pieces = at === all.length ? [] : [all.subarray(at)]
    this.#held = all.length - at
  }

  #join(): Uint8Array {
    const all = allocate(this.#held)
    let at = 0
    for (const piece of this.#pieces) {
      all.set(piece, at)
      at += piece.length
    }
    return all
  }
}

/** Byte strings one behind the other, each after its length. */
export function packParts(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0
  for (const part of parts) length += 4 + part.length
  const packed = allocate(length)
  const view = new DataView(packed.buffer)
  let at = 0
  for (const part of parts) {
    view.setUint32(at, part.length, true)
    packed.set(part, at + 4)
    at += 4 + part.length
  }
  return packed
}

/** Views of what {@link packParts} has put together. */
export function unpackParts(packed: Uint8Array): Uint8Array[] {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length)
  const parts: Uint8Array[] = []
  for (let at = 0; at < packed.length; ) {
    const from = at + 4
    at = from + view.getUint32(at, true)
    parts.push(packed.subarray(from, at))
  }
  return parts
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export const encodeJson = (value: unknown): Uint8Array => encoder.encode(JSON.stringify(value))
export const decodeJson = (bytes: Uint8Array): unknown => JSON.parse(decoder.decode(bytes))
