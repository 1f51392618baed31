import { onAbort } from '../base/abort.js'
import { APPLY } from './frames.js'

/** Bytes sent and not answered yet, at most, unless one request is longer. */
const IN_FLIGHT = 4_194_304
/** Bytes of requests that become one transaction, at most, unless one request is longer. */
const GROUP_BYTES = 2_097_152
/** Less than this waits for the transaction under way to end, so that more can join it. */
const WORTH_SENDING = 262_144

/** Something a side process is to do. */
export interface Request {
  /** `APPLY`, `OPEN`, `DROP`. */
  readonly type: number
  readonly bytes: Uint8Array
  /** Given when it is sent first, then kept; 0 before. Consecutive in the order of sending. */
  sequence: number
  readonly resolve: (results: Uint8Array) => void
  readonly reject: (error: unknown) => void
}

/** Requests in order: those that wait, then those that were sent and have no answer. Decides what is sent when. */
export class RequestQueue {
  #waiting: Request[] = []
  #waitingBytes = 0
  #sent: Request[] = []
  #sentBytes = 0
  #sequence = 0
  /** Requests up to this sequence are sent one by one: one of them has failed the others. */
  #alone = 0

  get isEmpty(): boolean {
    return this.#waiting.length + this.#sent.length === 0
  }

  get hasSent(): boolean {
    return this.#sent.length > 0
  }

  /** Bytes of all requests here. */
  get bytes(): number {
    return this.#waitingBytes + this.#sentBytes
  }

  /**
   * One more, behind all others; settles when it is answered. An abort rejects it if it was never sent: then `withdrawn`
   * is told.
   */
  ask(type: number, bytes: Uint8Array, signal: AbortSignal | undefined, withdrawn: () => void): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason)
        return
      }
      const off = onAbort(signal, (reason) => {
        // What was sent is or will be written.
        if (!this.#withdraw(request)) return
        reject(reason)
        withdrawn()
      })
      const request: Request = {
        type,
        bytes,
        sequence: 0,
        resolve: (results) => {
          off()
          resolve(results)
        },
        reject: (error) => {
          off()
          reject(error)
        },
      }
      this.#waiting.push(request)
      this.#waitingBytes += bytes.length
    })
  }

  /** Takes back one that was never sent; false: it was. */
  #withdraw(request: Request): boolean {
    const at = request.sequence === 0 ? this.#waiting.indexOf(request) : -1
    if (at < 0) return false
    this.#waiting.splice(at, 1)
    this.#waitingBytes -= request.bytes.length
    return true
  }

  /** What is to be sent now, as one transaction; it counts as sent. Undefined: nothing, for now. */
  next(): Request[] | undefined {
    const waiting = this.#waiting
    const [first] = waiting
    if (first === undefined) return undefined
    if (this.#sent.length > 0) {
      // Under load everything that comes while a transaction runs goes into the next one.
      if (this.#sentBytes >= IN_FLIGHT || this.#waitingBytes < WORTH_SENDING) return undefined
    }
    let count = 1
    let bytes = first.bytes.length
    if (first.type === APPLY && !(first.sequence > 0 && first.sequence <= this.#alone)) {
      for (; count < waiting.length; count++) {
        const { type, bytes: more, sequence } = waiting[count] as Request
        if (type !== APPLY || bytes + more.length > GROUP_BYTES) break
        // Those that are sent again may soon have waited long enough; others don't share that.
        if (first.sequence > 0 && sequence === 0) break
        bytes += more.length
      }
    }
    const group = waiting.splice(0, count)
    for (const request of group) if (request.sequence === 0) request.sequence = ++this.#sequence
    this.#waitingBytes -= bytes
    this.#sentBytes += bytes
    this.#sent.push(...group)
    return group
  }

  /** Removes those that were sent, up to a sequence; default all of them. */
  take(sequence = this.#sequence): Request[] {
    let count = 0
    for (; count < this.#sent.length; count++) {
      const request = this.#sent[count] as Request
      if (request.sequence > sequence) break
      this.#sentBytes -= request.bytes.length
    }
    return this.#sent.splice(0, count)
  }

  /** Removes everything. */
  takeAll(): Request[] {
    const all = this.#sent.concat(this.#waiting)
    this.#sent = []
    this.#waiting = []
    this.#sentBytes = 0
    this.#waitingBytes = 0
    return all
  }

  /** Those that were sent are to be sent again, before the others. */
  putBack(): void {
    this.#waiting = this.#sent.concat(this.#waiting)
    this.#waitingBytes += this.#sentBytes
    this.#sent = []
    this.#sentBytes = 0
  }

  /**
   * Those sent up to this sequence have failed as one transaction. A single one is returned, it is the one at fault;
   * several will be sent one by one.
   */
  divide(sequence: number): Request | undefined {
    const [first, second] = this.#sent
    if (first === undefined || first.sequence > sequence) return undefined
    const several = second !== undefined && second.sequence <= sequence && first.sequence > this.#alone
    if (!several) return this.take(first.sequence)[0]
    this.#alone = sequence
    return undefined
  }
}

/** What goes into the body of the frame for requests that are sent as one. */
export function bodyOf(group: readonly Request[]): readonly Uint8Array[] {
  const { type, bytes } = group[0] as Request
  if (type !== APPLY) return [bytes]
  return group.flatMap((request) => [lengthOf(request.bytes), request.bytes])
}

function lengthOf(bytes: Uint8Array): Uint8Array {
  const length = new Uint8Array(4)
  new DataView(length.buffer).setUint32(0, bytes.length, true)
  return length
}
