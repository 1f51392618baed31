import { createHash } from 'node:crypto'

/** What commands are made of. */
export type Word = string | number | Uint8Array

/** What is used of ioredis, spelled out: our declarations must not name the types of a package that may be absent. */
export interface RedisClient {
  /** `'ready'`, `'end'`, and others of which nothing is wanted. */
  readonly status: string
  callBuffer(command: string, ...words: Word[]): Promise<unknown>
  pipeline(commands: readonly (readonly Word[])[]): { exec(): Promise<[Error | null, unknown][] | null> }
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'ready' | 'end', listener: () => void): unknown
  quit(): Promise<unknown>
  disconnect(): void
}

/** How long a command may be without an answer, in milliseconds. */
export const ANSWER_MS = 10_000
/** How long the nodes may take to say goodbye, in milliseconds. */
const GOODBYE_MS = 2000

/**
 * A client whose commands end in time. By itself it takes what it is given while no node can be reached, for as long as
 * that lasts: callers would wait without end, memory would grow, and writes would be done long after their callers gave
 * up. So commands wait here until it is ready, or have failed.
 */
export class RedisLink {
  readonly #client: RedisClient
  readonly #own: boolean
  #waiting: (() => void)[] = []

  /** @param own it was made by us, is closed by us, and connects by itself */
  constructor(client: RedisClient, own: boolean) {
    this.#client = client
    this.#own = own
    if (!own) return
    client.on('error', () => {}) // every command tells by itself
    const go = (): void => {
      for (const resolve of this.#waiting.splice(0)) resolve()
    }
    client.on('ready', go)
    client.on('end', go)
  }

  /** One command. It may come to a node more than once: the client repeats what was cut off. */
  call(command: string, ...words: Word[]): Promise<unknown> {
    return this.#inTime(() => this.#client.callBuffer(command, ...words))
  }

  /** Commands on one connection. Rejects with the first that failed. */
  async exec(commands: readonly (readonly Word[])[]): Promise<unknown[]> {
    const answers = (await this.#inTime(() => this.#client.pipeline(commands).exec())) ?? []
    for (const [error] of answers) if (error) throw error
    return answers.map(([, answer]) => answer)
  }

  /** Nothing may be under way. Closes our own client only. */
  async close(): Promise<void> {
    if (!this.#own) return
    const quit = this.#client.quit().catch(() => {}) // gone either way
    let timer: NodeJS.Timeout | undefined
    // A cluster that is away would keep `quit` waiting.
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, GOODBYE_MS)
    })
    await Promise.race([quit, late])
    clearTimeout(timer)
    this.#client.disconnect()
  }

  get #mustWait(): boolean {
    const { status } = this.#client
    return this.#own && status !== 'ready' && status !== 'end'
  }

  async #inTime<T>(send: () => Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${ANSWER_MS} ms`)), ANSWER_MS)
    })
    try {
      while (this.#mustWait) await Promise.race([late, new Promise<void>((resolve) => this.#waiting.push(resolve))])
      return await Promise.race([late, send()])
    } finally {
      clearTimeout(timer)
    }
  }
}

/** A script of Lua, known by its hash once a node has seen it. */
export class Script {
  readonly #text: string
  readonly #hash: string

  constructor(text: string) {
    this.#text = text
    this.#hash = createHash('sha1').update(text).digest('hex')
  }

  /** Runs it where the keys lie. */
  async run(link: RedisLink, keys: readonly string[], words: readonly Word[]): Promise<unknown> {
    try {
      return await link.call('EVALSHA', this.#hash, keys.length, ...keys, ...words)
    } catch (error) {
      if (!String((error as Error | undefined)?.message).startsWith('NOSCRIPT')) throw error
      return link.call('EVAL', this.#text, keys.length, ...keys, ...words)
    }
  }

  /** The same as a command of a pipeline. */
  command(keys: readonly string[], words: readonly Word[]): readonly Word[] {
    return ['eval', this.#text, keys.length, ...keys, ...words]
  }
}
