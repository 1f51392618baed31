import type { Progress } from '../../types/progress.js'
import { onAbort } from '../base/abort.js'
import { utf8 } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import { unpackFailure } from '../store/failure.js'
import { fileTag, sweepAside } from '../store/folder-files.js'
import { DONE, decodeJson, encodeJson, FAILED, PROGRESS } from '../store/frames.js'
import { type Environment, openEnvironment } from '../store/lmdb-environment.js'
import { SideChild, type SideEnd } from '../store/side-child.js'
import { sideLost } from '../store/side-run.js'
import {
  type BulkArguments,
  type BulkResult,
  CREDIT,
  LOAD_KEY,
  LOCKED,
  PLAN,
  SEALED,
  type Sealed,
  WAITING,
} from './bulk-frames.js'
import { Feed, type PairEncoder } from './load-feed.js'
import type { Input } from './load-options.js'

/** How a load is watched. */
export interface LoadWatch {
  readonly onProgress: ((progress: Progress) => void) | undefined
  readonly signal: AbortSignal | undefined
  /** Milliseconds without the write lock of a map that is there. */
  readonly lockTimeoutMs: number
}

/** One load: the side process, and what it is sent. */
export class LoadRun<K, V> {
  readonly #args: BulkArguments
  readonly #input: Input<K, V>
  readonly #encoder: PairEncoder<K, V>
  readonly #watch: LoadWatch
  #child: SideChild | undefined
  #feed: Feed | undefined
  #result: BulkResult | undefined
  #sealed: Sealed | undefined
  #failure: { readonly error: unknown } | undefined
  #end: SideEnd | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(args: BulkArguments, input: Input<K, V>, encoder: PairEncoder<K, V>, watch: LoadWatch) {
    this.#args = args
    this.#input = input
    this.#encoder = encoder
    this.#watch = watch
  }

  /** What it has done. A load that was too far to be stopped is done, whatever was to stop it. */
  async result(): Promise<BulkResult> {
    await this.#run()
    if (this.#result !== undefined) return this.#result
    // What a side process that was killed has left, or was just moving.
    sweepAside(this.#args.path)
    if (await this.#hasHappened()) return (this.#sealed as Sealed).result
    throw this.#failure === undefined ? sideLost(this.#args.path, this.#end) : this.#failure.error
  }

  async #run(): Promise<void> {
    const { path } = this.#args
    // The path is for those who look at a list of processes.
    const child = new SideChild(
      new URL('./bulk-process.js', import.meta.url),
      { path },
      {
        frame: (type, sequence, body) => this.#frame(type, sequence, body),
        end: (how) => {
          this.#end = how
          this.#feed?.stop()
        },
      },
    )
    this.#child = child
    this.#feed = new Feed(child)
    child.send(PLAN, 0, encodeJson(this.#args))
    child.ref()
    const off = onAbort(this.#watch.signal, (reason) => this.#fail(reason))
    const fed = this.#send(this.#feed).catch((error) => this.#fail(error))
    await child.ended
    off()
    clearTimeout(this.#timer)
    // A source that never gives anything is not waited for.
    void fed
  }

  /** The side process did not say that it was done: was it? Throws where that can't be told. */
  async #hasHappened(): Promise<boolean> {
    const { path, maxMaps } = this.#args
    const { file, token } = this.#sealed ?? {}
    if (file !== undefined) return fileTag(path) === file
    if (token === undefined) return false
    let env: Environment | undefined
    try {
      env = await openEnvironment(path, { readonly: true, maxMaps })
      env.refresh()
      const found = env.readMeta(LOAD_KEY)
      return found !== undefined && utf8(found) === token
    } catch (cause) {
      const { exitCode = null, signal = null } = this.#end ?? {}
      const message = `${path}: the side process was lost as it committed, and whether its records are there is unknown`
      throw new StoreError('MILL_WRITER_LOST', `${message}: ${(cause as Error).message}`, {
        path,
        exitCode,
        signal,
        cause,
      })
    } finally {
      await env?.close()
    }
  }

  async #send(feed: Feed): Promise<void> {
    const input = this.#input
    if (input.kind === 'bytes') await feed.bytes(input.source)
    else if (input.kind === 'pairs') await feed.pairs(input.source, this.#encoder)
  }

  #frame(type: number, sequence: number, body: Uint8Array): void {
    switch (type) {
      case CREDIT:
        this.#feed?.credit(sequence)
        break
      case PROGRESS:
        this.#progress(body)
        break
      case WAITING:
        this.#timer = setTimeout(() => this.#fail(this.#locked()), this.#watch.lockTimeoutMs)
        break
      case LOCKED:
        clearTimeout(this.#timer)
        break
      case SEALED:
        this.#sealed = decodeJson(body) as Sealed
        break
      case DONE:
        this.#result = decodeJson(body) as BulkResult
        break
      case FAILED:
        this.#failure ??= { error: unpackFailure(body) }
    }
  }

  #progress(body: Uint8Array): void {
    if (this.#failure !== undefined) return
    try {
      this.#watch.onProgress?.(decodeJson(body) as Progress)
    } catch (error) {
      this.#fail(error)
    }
  }

  /** Ends the side process, wherever it is: what it has done so far counts for nothing. */
  #fail(error: unknown): void {
    if (this.#result !== undefined) return
    this.#failure ??= { error }
    this.#child?.kill()
    this.#feed?.stop()
  }

  #locked(): StoreError {
    const { path } = this.#args
    const waitedMs = this.#watch.lockTimeoutMs
    const message = `${path}: another process has held the write lock for ${waitedMs} ms; nothing was written`
    return new StoreError('MILL_LOCKED', message, { path, waitedMs })
  }
}
