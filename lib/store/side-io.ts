import { readSync, writeSync } from 'node:fs'
import { allocate, concatBytes } from '../base/bytes.js'
import { packFailure } from './failure.js'
import { encodeJson, FAILED, FRAME_HEAD, frameHead } from './frames.js'

/*
 * A side process' end of the pipes: file descriptors 0 and 1, read and written without an event loop.
 */

const INPUT = 0
const OUTPUT = 1
/** Memory for what comes in; more of it, made for one large frame, is not kept. */
const ROOM = 65_536
const KEPT = 4_194_304
/** Up to here a body is copied to be sent together with its head. */
const COPIED = 65_536

export interface Frame {
  readonly type: number
  readonly sequence: number
  /** Valid until the next frame is received. */
  readonly body: Uint8Array
}

/** What was read and not used yet: one call of the system takes in what has come. */
let scratch = allocate(ROOM)
let from = 0
let to = 0

/** What the owner has given this process to start with. */
export function sideArguments<T>(): T {
  return JSON.parse(process.argv[2] ?? '{}') as T
}

/** A terminal sends its signals to both; only the owner says when it is over. */
export function ignoreSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
}

/** Waits for a frame. Undefined: the owner is gone. A frame that was cut off by its end is none. */
export function receiveFrame(): Frame | undefined {
  if (!fill(FRAME_HEAD)) return undefined
  const head = new DataView(scratch.buffer, scratch.byteOffset + from, FRAME_HEAD)
  const length = head.getUint32(0, true)
  const type = head.getUint8(4)
  const sequence = head.getFloat64(8, true)
  from += FRAME_HEAD
  if (!fill(length)) return undefined
  from += length
  return { type, sequence, body: scratch.subarray(from - length, from) }
}

/** Sends a frame. To an owner that is gone it goes nowhere, without an error: the next receive will tell. */
export function sendFrame(type: number, sequence: number, body: Uint8Array): void {
  const head = frameHead(type, sequence, body.length)
  // In one piece: the owner is woken up once.
  if (body.length === 0) send(head)
  else if (body.length <= COPIED) send(concatBytes([head, body]))
  else if (send(head)) send(body)
}

/** Sends JSON. */
export function sendJson(type: number, sequence: number, value: unknown): void {
  sendFrame(type, sequence, encodeJson(value))
}

/** Tells the owner that all up to `sequence` has failed. */
export function sendFailure(sequence: number, error: unknown): void {
  sendFrame(FAILED, sequence, packFailure(error))
}

/** Waits until there are so many bytes from `from` on. */
function fill(length: number): boolean {
  if (to - from >= length) return true
  const memory = length <= scratch.length && scratch.length <= KEPT ? scratch : allocate(Math.max(length, ROOM))
  if (memory === scratch) scratch.copyWithin(0, from, to)
  else memory.set(scratch.subarray(from, to))
  scratch = memory
  to -= from
  from = 0
  while (to < length) {
    const count = patiently(() => readSync(INPUT, scratch, to, scratch.length - to, null))
    if (count === undefined || count === 0) return false
    to += count
  }
  return true
}

function send(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; ) {
    const count = patiently(() => writeSync(OUTPUT, bytes, at, bytes.length - at))
    if (count === undefined) return false
    at += count
  }
  return true
}

const never = new Int32Array(new SharedArrayBuffer(4))

/** Again where somebody has made the pipe non-blocking; undefined where the other end is gone. */
function patiently(act: () => number): number | undefined {
  for (;;) {
    try {
      return act()
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'EAGAIN') return undefined
      Atomics.wait(never, 0, 0, 1)
    }
  }
}
