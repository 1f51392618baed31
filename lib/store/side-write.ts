import { rmdirSync, statSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { TableConfig } from '../../types/store.js'
import { isMillraceError, StoreError } from '../base/errors.js'
import { packFailure } from './failure.js'
import { fileTag } from './folder-files.js'
import {
  APPLY,
  BROKEN,
  CLOSE,
  DONE,
  DROP,
  decodeJson,
  LOCKED,
  OPEN,
  type OpenBody,
  packParts,
  READY,
  STARTED,
  unpackParts,
} from './frames.js'
import { FIRST_MAP, META_TABLE } from './ids.js'
import { type Environment, openEnvironment } from './lmdb-environment.js'
import { DATA_FILE, LOCK_FILE, look } from './look.js'
import { Place } from './place.js'
import { seedFolder } from './seed.js'
import { type Frame, receiveFrame, sendFailure, sendFrame } from './side-io.js'
import { makeRecord, readRecord, recordKey, WRITER_KEYS, type WriterRecord } from './writer-record.js'

/** What a side process that writes gets to start with. */
export interface WriteArguments {
  readonly command: 'write'
  readonly path: string
  /** Names its record in the folder. */
  readonly writer: string
  /** The folder may be made, with these pages. */
  readonly create: boolean
  readonly pageSize: number
  readonly maxMaps: number
  readonly durable: boolean
  /** The data file its owner reads: no other may be written to. */
  readonly file?: string
  readonly tables: readonly OpenBody[]
}

const NOTHING = new Uint8Array(0)
/** A dead reader keeps old pages from reuse: looked for so often while there is work, in milliseconds. */
const READER_CHECK = 30_000
/** Pages of a record that need no reserve of their own. */
const FREE_PAGES = 8
/** Records of writers that went without a word are removed after a week, in milliseconds. */
const OLD_RECORD = 604_800_000

/** Applies what its owner sends until there is no more, or the owner is gone. */
export async function runWriter(args: WriteArguments): Promise<void> {
  sendFrame(STARTED, 0, NOTHING)
  let side: WriterSide
  try {
    side = await WriterSide.open(args)
  } catch (error) {
    sendFailure(0, error)
    return
  }
  sendFrame(READY, 0, NOTHING)
  for (let frame = receiveFrame(); frame !== undefined; frame = receiveFrame()) {
    if (frame.type === CLOSE) {
      side.tidy()
      break
    }
    side.handle(frame)
  }
  await side.close()
}

class WriterSide {
  readonly #args: WriteArguments
  readonly #env: Environment
  readonly #place: Place
  readonly #record: string
  readonly #recordKey: Uint8Array
  #recorded = false
  /** What the process before this one did last; looked up in the first transaction. */
  #before: WriterRecord | undefined
  #isFirst = true
  #checked = 0

  static async open(args: WriteArguments): Promise<WriterSide> {
    const { path, create, pageSize, maxMaps, durable } = args
    for (;;) {
      const fresh = create && look(path) === undefined
      try {
        if (fresh) await seedFolder(path, pageSize)
        const file = args.file ?? fileTag(path)
        const env = await openEnvironment(path, { readonly: false, maxMaps, durable, expendable: true })
        if (fileTag(path) === file) return new WriterSide(args, env, new Place(path, file))
        await env.close()
        if (args.file !== undefined) throw replaced(path)
      } catch (error) {
        if (fresh) removeUnfinished(path, pageSize)
        if (args.file !== undefined && isMillraceError(error, 'MILL_MAP_MISSING')) throw replaced(path)
        throw error
      }
    }
  }

  constructor(args: WriteArguments, env: Environment, place: Place) {
    this.#args = args
    this.#env = env
    this.#place = place
    this.#record = recordKey(args.writer)
    this.#recordKey = new TextEncoder().encode(this.#record)
    for (const { id, name } of args.tables) env.bind(id, name)
    this.#checkReaders()
  }

  handle({ type, sequence, body }: Frame): void {
    this.#checkReaders()
    if (type === APPLY) this.#apply(sequence, unpackParts(body))
    else if (type === DROP) this.#drop(sequence, decodeJson(body) as OpenBody)
    else if (type === OPEN) this.#open(sequence, decodeJson(body) as OpenBody)
  }

  /** Removes this writer's record: nobody will ask any more. */
  tidy(): void {
    if (!this.#recorded) return
    try {
      this.#env.transact(() => {
        this.#check()
        this.#env.writeMeta(this.#record, undefined)
      })
    } catch {
      // Another will sweep it.
    }
  }

  close(): Promise<void> {
    return this.#env.close()
  }

  #apply(first: number, requests: readonly Uint8Array[]): void {
    const last = first + requests.length - 1
    try {
      const results = this.#commit(first, last, requests)
      this.#isFirst = false
      sendFrame(DONE, last, results)
    } catch (error) {
      if (requests.length === 1 || this.#env.broken || isMillraceError(error, 'MILL_MAP_REPLACED')) {
        this.#failed(last, error)
        return
      }
      // Not all of them need have the fault, and on a nearly full disk half of them may have room.
      const half = requests.length >> 1
      this.#apply(first, requests.slice(0, half))
      this.#apply(first + half, requests.slice(half))
    }
  }

  #commit(first: number, last: number, requests: readonly Uint8Array[]): Uint8Array {
    return this.#env.transact(() => {
      this.#begin(first)
      const done = this.#done(first, last)
      const todo = requests.slice(done.length)
      const results = packParts([...done, ...todo.map((request) => this.#env.apply(request))])
      if (todo.length > 0) this.#note(last, results)
      return results
    })
  }

  #drop(sequence: number, { name }: OpenBody): void {
    try {
      const results = this.#env.transact(() => {
        this.#begin(sequence)
        const done = this.#done(sequence, sequence)
        if (done.length > 0) return packParts(done)
        const results = packParts([Uint8Array.of(this.#env.dropTable(name) ? 1 : 0)])
        this.#note(sequence, results)
        return results
      })
      sendFrame(DONE, sequence, results)
    } catch (error) {
      this.#failed(sequence, error)
    }
  }

  #open(sequence: number, { id, name, config }: OpenBody): void {
    try {
      if (config !== undefined) {
        this.#env.transact(() => {
          this.#begin(sequence)
          this.#env.createTable(name, config as TableConfig)
        })
      }
      if (id >= FIRST_MAP) this.#env.bind(id, name)
      if (sequence > 0) sendFrame(READY, sequence, NOTHING)
    } catch (error) {
      this.#failed(sequence, error)
    }
  }

  #failed(sequence: number, error: unknown): void {
    if (!this.#env.broken) {
      sendFailure(sequence, error)
      return
    }
    // Its memory may be damaged: not even an orderly end is safe.
    sendFrame(BROKEN, sequence, packFailure(error))
    process.kill(process.pid, 'SIGKILL')
  }

  /** The lock is there: says so, and makes sure that it is the lock of the folder everybody sees. */
  #begin(sequence: number): void {
    sendFrame(LOCKED, sequence, NOTHING)
    this.#check()
    if (!this.#isFirst) return
    const record = this.#env.readMeta(this.#record)
    if (record !== undefined) this.#before = readRecord(record)
    this.#sweep()
  }

  /**
   * The results of those requests that the process before this one has committed: its owner could not see that if it
   * died before it could tell other processes.
   */
  #done(first: number, last: number): Uint8Array[] {
    const done: Uint8Array[] = []
    const { sequence = 0, results = [] } = this.#before ?? {}
    for (let one = first; one <= Math.min(last, sequence); one++) {
      done.push(results[results.length - 1 - (sequence - one)] ?? NOTHING)
    }
    return done
  }

  #check(): void {
    if (!this.#place.holds()) throw replaced(this.#args.path)
  }

  /** Within the transaction, so that it says what was committed if nobody else can. */
  #note(sequence: number, results: Uint8Array): void {
    const { length } = this.#recordKey
    const record = makeRecord(this.#recordKey, sequence, results)
    const pages = Math.ceil(record.length / this.#env.pageSize)
    // Room for a short one is in what the operations reserve. It does not make a transaction of deletes another: they
    // have to be possible on a full disk.
    if (pages > FREE_PAGES) this.#env.reserve({ pages, onlyDeletes: true })
    this.#env.put(META_TABLE, record, 0, length, length, record.length - length)
    this.#recorded = true
  }

  #sweep(): void {
    for (const key of this.#env.metaKeys(WRITER_KEYS)) {
      const record = this.#env.readMeta(key)
      if (record !== undefined && readRecord(record).time < Date.now() - OLD_RECORD) this.#env.writeMeta(key, undefined)
    }
  }

  #checkReaders(): void {
    const now = Date.now()
    if (now - this.#checked < READER_CHECK) return
    this.#checked = now
    this.#env.readerCheck()
  }
}

function replaced(path: string): StoreError {
  const message = `${path} was replaced or deleted while it was open: nothing was written; open it again`
  return new StoreError('MILL_MAP_REPLACED', message, { path })
}

/** Takes away a new folder that could not be finished, unless somebody has put something into it. */
function removeUnfinished(path: string, pageSize: number): void {
  try {
    const data = join(path, DATA_FILE)
    const size = statSync(data, { throwIfNoEntry: false })?.size
    if (size !== undefined && size > 2 * pageSize) return
    if (size !== undefined) unlinkSync(data)
    const lock = join(path, LOCK_FILE)
    if (statSync(lock, { throwIfNoEntry: false }) !== undefined) unlinkSync(lock)
    rmdirSync(path)
  } catch {
    // Not ours alone.
  }
}
