import { randomUUID } from 'node:crypto'
import { mkdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { isMillraceError, StoreError } from '../base/errors.js'
import { Meter } from '../base/progress.js'
import { sweepOnce } from '../io/temporary.js'
import { asideName, fileTag, sweepAside, syncFileSync, syncFolderSync } from '../store/folder-files.js'
import { swapFolders, underLock } from '../store/folder-swap.js'
import { DONE, decodeJson, FrameReader, PROGRESS } from '../store/frames.js'
import { type Environment, FIRST_MAP } from '../store/lmdb-environment.js'
import { DATA_FILE, storeFault } from '../store/look.js'
import { makeRoom } from '../store/reserve.js'
import { seedFolder } from '../store/seed.js'
import { ignoreSignals, sendFailure, sendFrame, sendJson } from '../store/side-io.js'
import { Appender } from './bulk-append.js'
import { fillMap, makeMap } from './bulk-build.js'
import {
  type BulkArguments,
  type BulkResult,
  DATA,
  END,
  LOAD_KEY,
  LOCKED,
  PLAN,
  SEALED,
  type Sealed,
  WAITING,
} from './bulk-frames.js'
import { keptBytes, parsePlan, planPieces } from './bulk-plan.js'
import { parsePieces } from './bulk-pool.js'
import { RunStore } from './bulk-runs.js'
import { SentBlocks } from './bulk-sent.js'
import { checkConfig } from './config.js'

/*
 * The side process of a bulk load: threads parse, encode and sort; this thread keeps their runs, merges them and appends
 * to a folder of its own, which takes its place in the end; or puts the records into a map that is there, in one
 * transaction. Whatever happens to it, what lies at the path is as it was, or all is there.
 */

/** Records and bytes of a transaction, of which a new folder has as many as it takes. */
const MOST_RECORDS = 200_000
const MOST_BYTES = 33_554_432
const PROGRESS_MS = 200
/** With less memory, in bytes, that of LMDB (20 MiB) comes after that of the threads, not besides. */
const PLENTY = 268_435_456
/** Pages for LMDB's own lists, whatever is written. */
const OWN_PAGES = 64
const NOTHING = new Uint8Array(0)

class Load {
  readonly #args: BulkArguments
  readonly #runs: RunStore
  readonly #spillFolder: string
  /** The folder that is being made. */
  readonly #made: string | undefined
  readonly blocks = new SentBlocks()
  #meter = new Meter('parsing')
  #bytesIn = 0
  #skipped = 0

  constructor(args: BulkArguments) {
    const { path, mode, tempDir, duplicates } = args
    this.#args = args
    this.#made = mode === 'merge' ? undefined : asideName(path, 'load')
    this.#spillFolder = tempDir ?? this.#made ?? dirname(path)
    this.#runs = new RunStore(keptBytes(args), this.#spillFolder, duplicates)
  }

  async run(): Promise<BulkResult> {
    const { path, mode, sorted, memory } = this.#args
    mkdirSync(dirname(path), { recursive: true })
    sweepAside(path)
    await sweepOnce(this.#spillFolder)
    const pieces = planPieces(this.#args)
    const timer = setInterval(() => this.#tell(), PROGRESS_MS)
    try {
      // Threads take a while to start: meanwhile this one can make the map.
      const parsed = this.#parse(pieces)
      await Promise.all([parsed, this.#make(memory < PLENTY ? parsed : undefined)])
    } finally {
      clearInterval(timer)
    }
    if (sorted) this.#runs.checkOrder(pieces)
    this.#tell()
    return mode === 'merge' ? this.#mergeInto() : this.#makeNew()
  }

  /** Says what there will be, before it is. */
  #seal(records: number, leftOut: number, sign: Omit<Sealed, 'result'>): BulkResult {
    const { spilledBytes, duplicates, count: runs } = this.#runs
    const result = {
      records,
      duplicates: duplicates + leftOut,
      skipped: this.#skipped,
      bytesIn: this.#bytesIn,
      runs,
      spilledBytes,
    }
    sendJson(SEALED, 0, { ...sign, result } satisfies Sealed)
    return result
  }

  async #parse(pieces: ReturnType<typeof planPieces>): Promise<void> {
    await parsePieces(parsePlan(this.#args), pieces, this.#args.threads, {
      run: (piece, run) => this.#runs.add(piece, run),
      read: (bytes, records) => {
        this.#bytesIn += bytes
        this.#meter.add(records, bytes)
      },
      skipped: (count) => {
        this.#skipped += count
      },
      block: () => this.blocks.next(),
    })
  }

  /** @param first what is waited for before LMDB is loaded */
  async #make(first?: Promise<void>): Promise<void> {
    const { name, config, pageSize, maxMaps } = this.#args
    const folder = this.#made
    if (folder === undefined) return
    await seedFolder(folder, pageSize)
    await first
    await makeMap(folder, name, config, maxMaps)
  }

  /** A folder of its own, which nobody else sees until it is complete. */
  async #makeNew(): Promise<BulkResult> {
    const { path, mode, name, maxMaps } = this.#args
    const made = this.#made as string
    const merge = this.#runs.merge()
    this.#phase('merging', this.#runs.records)
    const records = await fillMap(made, name, merge, maxMaps, (count) => {
      this.#meter.add(count)
      this.#tell()
    })
    this.#runs.close()
    this.#phase('syncing', records)
    try {
      syncFileSync(join(made, DATA_FILE))
      syncFolderSync(made)
    } catch (error) {
      throw storeFault(made, error)
    }
    const result = this.#seal(records, merge.duplicates, { file: fileTag(made) as string })
    if (mode === 'new' || statSync(join(path, DATA_FILE), { throwIfNoEntry: false }) === undefined) publish(made, path)
    else {
      sendFrame(WAITING, 0, NOTHING)
      await swapFolders(path, made)
      sendFrame(LOCKED, 0, NOTHING)
    }
    return result
  }

  /** Into a map that is there: one transaction. */
  async #mergeInto(): Promise<BulkResult> {
    const { path, name, config, duplicates } = this.#args
    const merge = this.#runs.merge()
    this.#phase('merging', this.#runs.records)
    await turn()
    sendFrame(WAITING, 0, NOTHING)
    const token = randomUUID()
    const result = await underLock(path, (env) => {
      sendFrame(LOCKED, 0, NOTHING)
      env.createTable(name, config)
      const table = tableOf(env, name)
      // Somebody may have made it since the plan was.
      checkConfig(config, table.config, { path, name })
      makeRoom(env, { pages: this.#pagesOver(env), onlyDeletes: false })
      const appender = new Appender(table, duplicates, table.size === 0)
      for (let more = true; more; ) {
        const before = appender.records
        more = appender.put(merge, MOST_RECORDS, MOST_BYTES)
        this.#meter.add(appender.records - before)
        this.#tell()
      }
      env.writeMeta(LOAD_KEY, new TextEncoder().encode(token))
      return this.#seal(appender.records, merge.duplicates + appender.duplicates, { token })
    })
    this.#runs.close()
    return result
  }

  /** Pages that all runs may take, put between what is there: each leaf that is touched is written anew. */
  #pagesOver(env: Environment): number {
    const { bytes, records } = this.#runs
    const { treeLeafPageCount = 0, treeBranchPageCount = 0, treeDepth = 0 } = env.statOf(FIRST_MAP) ?? {}
    const touched = Math.min(records, treeLeafPageCount) + Math.min(records * treeDepth, treeBranchPageCount)
    return pagesFor(bytes, records, env.pageSize) + touched
  }

  #phase(phase: string, total: number): void {
    this.#meter = new Meter(phase, { total })
    this.#tell()
  }

  #tell(): void {
    sendJson(PROGRESS, 0, this.#meter.read())
  }

  /** Nothing of it stays. */
  discard(): void {
    this.#runs.close()
    if (this.#made === undefined) return
    try {
      rmSync(this.#made, { recursive: true, force: true })
    } catch {
      // It is on its way out, and has no one to tell: the next load's sweep removes what a process that is gone has left.
    }
  }
}

/** Pages for records of so many bytes. Small ones fill theirs but for a fifth; long ones have pages of their own. */
function pagesFor(bytes: number, records: number, pageSize: number): number {
  const isLong = bytes / Math.max(1, records) > pageSize / 4
  return OWN_PAGES + Math.ceil((bytes * (isLong ? 2 : 1.25)) / pageSize)
}

function tableOf(env: Environment, name: string) {
  const table = env.table(name, FIRST_MAP)
  if (table === undefined) throw new StoreError('MILL_MAP_MISSING', `The map '${name}' is gone`, { path: env.path })
  return table
}

function publish(made: string, path: string): void {
  try {
    renameSync(made, path)
    syncFolderSync(dirname(path))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw storeFault(path, error)
    const message = `${path} has appeared while it was loaded: it is not overwritten`
    throw new StoreError('MILL_MAP_EXISTS', message, { path })
  }
}

function main(): void {
  ignoreSignals()
  let load: Load | undefined
  let over = false
  const leave = (code: number): void => {
    if (over) return
    over = true
    load?.discard()
    process.exit(code)
  }
  const start = async (args: BulkArguments): Promise<void> => {
    try {
      load = new Load(args)
      sendJson(DONE, 0, await load.run())
      leave(0)
    } catch (error) {
      sendFailure(0, isMillraceError(error) ? error : storeFault(args.path, error))
      leave(1)
    }
  }
  const reader = new FrameReader((type, _, body) => {
    if (type === PLAN) void start(decodeJson(body) as BulkArguments)
    else if (type === DATA) load?.blocks.push(body)
    else if (type === END) load?.blocks.end()
  })
  process.stdin.on('data', (piece: Uint8Array) => reader.push(piece))
  // Its owner is gone: nobody waits for it any more.
  for (const event of ['end', 'close', 'error']) process.stdin.on(event, () => leave(1))
}

main()
