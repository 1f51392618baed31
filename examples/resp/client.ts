import { connect, type Socket } from 'node:net'
import { type AnyBytes, ChunkedBuffer } from 'millrace'
import { command } from './encode.js'
import { replies } from './parser.js'
import { Nil, RespError, RespPush, type RespValue } from './values.js'

/** An error reply, thrown. */
export class ReplyError extends Error {
  override readonly name = 'ReplyError'
}

interface Waiting {
  resolve(value: RespValue | null): void
  reject(reason: unknown): void
}

/** A client that pipelines: send as much as you like before you await anything. */
export class RespClient implements AsyncDisposable {
  /** Called with what the server sends unasked. */
  onPush: ((push: RespPush) => void) | undefined
  readonly #socket: Socket
  readonly #waiting: Waiting[] = []
  readonly #closed: Promise<void>

  constructor(port: number, host = '127.0.0.1') {
    this.#socket = connect({ port, host, noDelay: true })
    this.#closed = this.#run()
  }

  /** Sends a command; resolves to its reply. Nil is null, an error reply a rejection. */
  send(...words: (AnyBytes | number)[]): Promise<RespValue | null> {
    return new Promise((resolve, reject) => {
      if (!this.#socket.writable) throw new Error('the connection is closed')
      // Everything sent in this turn of the event loop leaves in one packet.
      if (this.#socket.writableCorked === 0) {
        this.#socket.cork()
        process.nextTick(() => this.#socket.uncork())
      }
      for (const chunk of command(...words)) this.#socket.write(chunk)
      this.#waiting.push({ resolve, reject })
    })
  }

  /** Resolves when the replies that were waited for have come, and the connection is closed. */
  async close(): Promise<void> {
    this.#socket.end()
    await this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #run(): Promise<void> {
    let reason: unknown = new Error('the connection was closed')
    try {
      for await (const batch of this.#socket.pipe(new ChunkedBuffer({ parser: replies })).batches()) {
        let answered = 0
        for (const reply of batch) {
          if (reply instanceof RespPush) this.onPush?.(reply)
          else {
            const waiting = this.#waiting[answered++]
            if (reply instanceof RespError) waiting?.reject(new ReplyError(reply.message))
            else waiting?.resolve(reply instanceof Nil ? null : reply)
          }
        }
        this.#waiting.splice(0, answered)
      }
    } catch (error) {
      reason = error
    }
    this.#socket.destroy()
    for (const waiting of this.#waiting.splice(0)) waiting.reject(reason)
  }
}
