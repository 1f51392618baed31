// What runs in a thread. Its compiled text is also kept as a string (worker-source.ts) for bundles that leave this
// file behind: so it imports nothing but types and one module of Node. The constants are the board's; a number that
// differs from the board's does not compile.
import { parentPort, workerData } from 'node:worker_threads'
import type { Chunk } from '../../types/run.js'
import type * as board from './board.js'
import type { Again, FromWorker, JobSpec, PackedError, RunMessage, ToWorker } from './messages.js'

type B = typeof board
const [PENDING, RUNNING, DONE]: [B['PENDING'], B['RUNNING'], B['DONE']] = [0, 1, 2]
const [FAILED, ABORTED]: [B['FAILED'], B['ABORTED']] = [3, 4]
const [LINE, NEXT, STOP, LIMIT, SLOTS]: [B['LINE'], B['NEXT'], B['STOP'], B['LIMIT'], B['SLOTS']] = [16, 0, 16, 32, 48]
const [GO, NO_MORE, ABORT]: [B['GO'], B['NO_MORE'], B['ABORT']] = [0, 1, 2]
const [INDEX, ATTEMPT, DONE_COUNT]: [B['INDEX'], B['ATTEMPT'], B['DONE_COUNT']] = [0, 1, 2]
const [FAILED_COUNT, RETRIED_COUNT]: [B['FAILED_COUNT'], B['RETRIED_COUNT']] = [3, 4]

/** A turn of the event loop comes about this often, in milliseconds. */
const TURN_MIN = 25
const TURN_MAX = 50
const MAX_DELAY = 30_000
/**
 * Chunks are claimed in blocks: a 32nd of a lane's share of what is left, so the ends stay even, and the counter that
 * all threads share is touched seldom; a block never holds more chunks than lately fitted between two turns of the
 * event loop. Measured with four threads: 240 ns a chunk one by one, 30 ns in blocks of 64.
 */
const SHARE = 32
const MAX_BLOCK = 64
/** How deep causes and the errors of an AggregateError are followed. */
const DEPTH = 4

type Fn = (chunk: ThreadChunk, args: unknown) => unknown
type Hook = (...args: unknown[]) => unknown
interface Job {
  readonly fn: Fn
  readonly init: Hook | undefined
  readonly teardown: Hook | undefined
}

const port = parentPort as NonNullable<typeof parentPort>
const say = (message: FromWorker, transfer: ArrayBuffer[] = []): void => port.postMessage(message, transfer)
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** esbuild's keepNames puts a call of this helper into functions; one that is sent as text would miss it. */
const globals = globalThis as { __name?: unknown }
globals.__name ??= (fn: unknown) => fn

/** The chunk in work, for an abort. */
let current: ThreadChunk | undefined
/** Ends a pause between two attempts. */
let wake: (() => void) | undefined
/** What `init` returned, for the run it did. */
let prepared: { readonly run: string; readonly job: Job; readonly state: unknown } | undefined

class ThreadChunk implements Chunk<unknown> {
  readonly index: number
  readonly at: number // its place on the board
  readonly start: number
  readonly end: number
  readonly attempt: number
  readonly worker: number
  readonly state: unknown
  readonly #run: RunMessage
  #controller: AbortController | undefined
  #timer: NodeJS.Timeout | undefined
  #over = false
  moved: ArrayBuffer[] | undefined
  timedOut = false

  constructor(run: RunMessage, at: number, attempt: number, state: unknown) {
    this.index = run.firstChunk + at
    this.at = at
    this.start = run.start + at * run.chunkSize
    this.end = run.end - this.start <= run.chunkSize ? run.end : this.start + run.chunkSize
    this.attempt = attempt
    this.worker = run.slot
    this.state = state
    this.#run = run
  }

  get aborted(): boolean {
    return Atomics.load(this.#run.control, STOP) === ABORT
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      const { timeoutMs } = this.#run
      if (this.aborted) this.#controller.abort()
      else if (timeoutMs !== undefined && !this.#over) {
        this.#timer = setTimeout(() => {
          this.timedOut = true
          this.#controller?.abort(new DOMException(`The chunk took longer than ${timeoutMs} ms`, 'TimeoutError'))
        }, timeoutMs)
      }
    }
    return this.#controller.signal
  }

  transfer<T>(value: T, list?: readonly ArrayBuffer[]): T {
    this.moved ??= []
    if (list !== undefined) this.moved.push(...list)
    else if (value instanceof ArrayBuffer) this.moved.push(value)
    else if (ArrayBuffer.isView(value) && value.buffer instanceof ArrayBuffer) this.moved.push(value.buffer)
    return value
  }

  abort(): void {
    this.#controller?.abort()
  }

  /** The function has returned. */
  close(): void {
    this.#over = true
    if (this.#timer !== undefined) clearTimeout(this.#timer)
  }
}

// ---- errors --------------------------------------------------------------------------------------------------------

function cloneable(value: unknown): boolean {
  try {
    structuredClone(value)
    return true
  } catch {
    return false
  }
}

function isError(value: unknown): value is Error {
  if (typeof value !== 'object' || value === null) return false
  return value instanceof Error || Object.prototype.toString.call(value) === '[object Error]'
}

function pack(thrown: unknown, depth = 0): PackedError {
  if (!isError(thrown)) return { thrown: cloneable(thrown) ? thrown : text(thrown) }
  const own: Record<string, unknown> = {}
  for (const key of [...Object.keys(thrown), 'code']) {
    if (APART.has(key)) continue
    const value = read(thrown, key) // `code` may be the prototype's, as DOMException has it
    if (value !== undefined && cloneable(value)) own[key] = value
  }
  const stack = read(thrown, 'stack')
  const cause = depth < DEPTH ? read(thrown, 'cause') : undefined
  const errors = depth < DEPTH ? read(thrown, 'errors') : undefined
  return {
    name: text(read(thrown, 'name')),
    message: text(read(thrown, 'message')),
    stack: typeof stack === 'string' ? stack : undefined,
    own,
    branded: read(thrown, Symbol.for('millrace.error')) === true,
    ...(cause !== undefined && { cause: pack(cause, depth + 1) }),
    ...(Array.isArray(errors) && { errors: errors.map((error) => pack(error, depth + 1)) }),
  }
}
const APART = new Set(['name', 'message', 'stack', 'cause', 'errors'])

/** A property, or undefined where reading it throws. */
function read(value: object, key: string | symbol): unknown {
  try {
    return (value as Record<string | symbol, unknown>)[key]
  } catch {
    return undefined
  }
}

function text(value: unknown): string {
  try {
    return String(value)
  } catch {
    return 'a value that has no text'
  }
}

// ---- the job -------------------------------------------------------------------------------------------------------

/** Why the job cannot be run; the main thread makes an error of it. */
class Problem extends Error {
  readonly exports: readonly string[] | undefined
  constructor(message: string, cause: unknown, exports?: readonly string[]) {
    super(message, cause === undefined ? undefined : { cause })
    this.exports = exports
  }
}

async function load({ name, url, source, init, teardown }: JobSpec): Promise<Job> {
  if (source !== undefined) return { fn: await fromSource(source, name), init: undefined, teardown: undefined }
  let module: Record<string, unknown>
  try {
    module = await import(url as string)
  } catch (error) {
    throw new Problem(`cannot be imported: ${isError(error) ? error.message : text(error)}`, error)
  }
  const named = (key: string): Hook => {
    const found = module[key]
    if (typeof found === 'function') return found as Hook
    throw new Problem(`has no function "${key}"`, undefined, Object.keys(module))
  }
  return {
    fn: named(name) as Fn,
    init: init === undefined ? undefined : named(init),
    teardown: teardown === undefined ? undefined : named(teardown),
  }
}

/** The text is an expression, or a method, which becomes one inside an object. */
async function fromSource(source: string, name: string): Promise<Fn> {
  const asModule = (expression: string): Promise<{ default: Fn }> => {
    const named = `export default ${expression}\n//# sourceURL=millrace:inline/${encodeURIComponent(name)}`
    const url = `data:text/javascript,${encodeURIComponent(named)}`
    return import(url)
  }
  try {
    return (await asModule(`(${source}\n)`)).default
  } catch {
    try {
      return (await asModule(`Object.values({ ${source}\n})[0]`)).default
    } catch (error) {
      throw new Problem(`cannot be read as a function: ${isError(error) ? error.message : text(error)}`, error)
    }
  }
}

async function prepare(run: RunMessage): Promise<NonNullable<typeof prepared>> {
  if (prepared?.run === run.run) return prepared
  prepared = undefined
  const job = await load(run.job)
  let state: unknown
  try {
    state = await job.init?.(run.args, { worker: run.slot })
  } catch (error) {
    throw new Problem(`failed in "${run.job.init}": ${isError(error) ? error.message : text(error)}`, error)
  }
  prepared = { run: run.run, job, state }
  return prepared
}

async function finish(teardown: string | undefined): Promise<void> {
  const last = prepared
  prepared = undefined
  try {
    await last?.job.teardown?.(last.state)
  } catch (error) {
    throw new Problem(`failed in "${teardown}": ${isError(error) ? error.message : text(error)}`, error)
  }
}

// ---- the loop ------------------------------------------------------------------------------------------------------

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  ((typeof value === 'object' && value !== null) || typeof value === 'function') &&
  typeof (value as { then?: unknown }).then === 'function'

class Loop {
  readonly #run: RunMessage
  readonly #control: Int32Array
  readonly #states: Uint8Array
  readonly #fn: Fn
  readonly #state: unknown
  readonly #slot: number
  readonly #again: Again[]
  #retriesTold = 0
  #failuresTold = 0

  constructor(run: RunMessage, fn: Fn, state: unknown) {
    this.#run = run
    this.#control = run.control
    this.#states = run.states
    this.#fn = fn
    this.#state = state
    this.#slot = SLOTS + LINE * run.slot
    this.#again = [...run.first]
  }

  /** Claims and runs until nothing is left. Only what is thenable is awaited; no clock is read for a chunk. */
  async work(): Promise<void> {
    const control = this.#control
    const states = this.#states
    const count = states.length
    const share = SHARE * (control.length / LINE - SLOTS / LINE - 1)
    const single = this.#run.values
    let next = 0 // claimed and not begun: next to last
    let last = 0
    let most = 1
    let since = performance.now()
    for (let n = 1; Atomics.load(control, STOP) === GO; n++) {
      let index: number
      let attempt = 1
      const again = this.#again.length > 0 ? this.#again.shift() : undefined
      if (again !== undefined) ({ index, attempt } = again)
      else {
        if (next === last) {
          const left = count - Atomics.load(control, NEXT)
          if (left <= 0) return // never counts far beyond the end, however often we ask
          const block = single ? 1 : Math.max(1, Math.min(MAX_BLOCK, most, Math.floor(left / share)))
          next = Atomics.add(control, NEXT, block)
          if (next >= count) return
          last = Math.min(next + block, count)
        }
        index = next++
        if (states[index] !== PENDING) continue // another's, or done in the run this one resumes
      }
      if (Atomics.load(control, LIMIT) <= index && !(await this.#room(index))) return
      const failed = this.#try(index, attempt)
      if (failed !== false) await this.#repeat(index, attempt, failed)
      if (n >= most) {
        await turn()
        const now = performance.now()
        if (now - since < TURN_MIN) most *= 2
        else if (now - since > TURN_MAX) most = Math.max(1, most >> 1)
        since = now
        n = 0
      }
    }
  }

  /** Waits until the values' window has room for a chunk; false: the run is stopping. */
  async #room(index: number): Promise<boolean> {
    const control = this.#control
    for (;;) {
      await turn()
      const stop = Atomics.load(control, STOP)
      const limit = Atomics.load(control, LIMIT)
      if (stop === ABORT) return false
      if (limit > index) return true // also after a failure: what comes before the failed chunk is complete
      if (stop !== GO) return false
      Atomics.wait(control, LIMIT, limit, 1000)
    }
  }

  /** One attempt; true: it failed, and another one is to follow. A promise only if there is something to wait for. */
  #try(index: number, attempt: number): boolean | Promise<boolean> {
    // Plain stores: only this thread writes here, and who must be sure of them reads after its exit.
    const control = this.#control
    const slot = this.#slot
    control[slot + ATTEMPT] = attempt
    if (attempt === 1) {
      // A claim is a wish: after the death of a thread what it had claimed is claimed again. The chunk is whose is first.
      control[slot + INDEX] = -1 - index
      const was = Atomics.compareExchange(this.#states, index, PENDING, RUNNING)
      if (was !== PENDING) {
        control[slot + INDEX] = 0
        if (was === RUNNING) say({ type: 'missed', index })
        return false
      }
    }
    control[slot + INDEX] = index + 1
    const chunk = new ThreadChunk(this.#run, index, attempt, this.#state)
    current = chunk
    try {
      const fn = this.#fn // not as a method of ours
      const result = fn(chunk, this.#run.args)
      if (isThenable(result)) return this.#wait(result, chunk)
      this.#done(chunk, result)
      return false
    } catch (error) {
      return this.#failed(chunk, error)
    }
  }

  async #wait(result: PromiseLike<unknown>, chunk: ThreadChunk): Promise<boolean> {
    try {
      this.#done(chunk, await result)
      return false
    } catch (error) {
      return this.#failed(chunk, error)
    }
  }

  #done(chunk: ThreadChunk, value: unknown): void {
    // The value goes first: a chunk is done only once nothing of it can get lost with the thread.
    if (this.#run.values) {
      const none = value === undefined || value === null
      say(none ? { type: 'value', index: chunk.at } : { type: 'value', index: chunk.at, value }, chunk.moved)
    }
    chunk.close()
    this.#end(chunk.at, DONE, DONE_COUNT)
  }

  #end(index: number, state: number, counter: number): void {
    Atomics.store(this.#states, index, state) // after all that the function wrote
    this.#add(counter)
    this.#control[this.#slot + INDEX] = 0
    current = undefined
  }

  #add(counter: number): void {
    const at = this.#slot + counter
    this.#control[at] = (this.#control[at] as number) + 1
  }

  /** What becomes of a failed attempt; true when another one is to follow. */
  #failed(chunk: ThreadChunk, error: unknown): boolean {
    const { retries, stopOnError, errorTexts } = this.#run
    const { at: index, attempt, timedOut } = chunk
    chunk.close()
    const stop = Atomics.load(this.#control, STOP)
    if (stop === ABORT) {
      this.#release(index, ABORTED)
      return false
    }
    if (attempt <= retries) {
      if (stop === NO_MORE) {
        this.#release(index, PENDING) // it had attempts left, but nothing new is begun
        return false
      }
      this.#add(RETRIED_COUNT)
      if (this.#retriesTold++ < errorTexts) say({ type: 'retry', index, attempt, error: pack(error), timedOut })
      Atomics.store(this.#control, this.#slot + ATTEMPT, -attempt)
      current = undefined
      return true
    }
    if (stopOnError) Atomics.compareExchange(this.#control, STOP, GO, NO_MORE)
    if (stopOnError || this.#failuresTold++ < errorTexts) {
      say({ type: 'failed', index, attempt, error: pack(error), timedOut })
    } else if (this.#run.values) say({ type: 'value', index })
    this.#end(index, FAILED, FAILED_COUNT)
    return false
  }

  #release(index: number, state: number): void {
    Atomics.store(this.#states, index, state)
    Atomics.store(this.#control, this.#slot + INDEX, 0)
    current = undefined
  }

  /** The attempts after the first, in a loop: each after a pause, and as many as there are. */
  async #repeat(index: number, attempt: number, failed: boolean | Promise<boolean>): Promise<void> {
    for (let last = attempt, again = await failed; again; again = await this.#try(index, ++last)) {
      await this.#pause(last)
      const stop = Atomics.load(this.#control, STOP)
      if (stop !== GO) {
        this.#release(index, stop === ABORT ? ABORTED : PENDING)
        return
      }
    }
  }

  async #pause(attempt: number): Promise<void> {
    const { delayMs } = this.#run
    if (delayMs === 0) return turn()
    const ms = Math.min(MAX_DELAY, delayMs * 2 ** (attempt - 1))
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    wake = undefined
  }
}

// ---- messages ------------------------------------------------------------------------------------------------------

const { preload } = workerData as { preload: readonly string[] }

async function loadAll(): Promise<boolean> {
  for (const url of preload) {
    try {
      await import(url)
    } catch (error) {
      say({ type: 'ready', error: pack(error), url })
      return false
    }
  }
  say({ type: 'ready' })
  return true
}
const ready = loadAll()

async function start(run: RunMessage): Promise<void> {
  if (!(await ready)) return
  try {
    const count = run.states.length
    if (run.first.length > 0 || Atomics.load(run.control, NEXT) < count) {
      const { job, state } = await prepare(run)
      await new Loop(run, job.fn, state).work()
    }
    say({ type: 'idle' })
  } catch (error) {
    tell(error)
    say({ type: 'idle' })
  }
}

function tell(error: unknown): void {
  if (!(error instanceof Problem)) throw error
  const { message, cause, exports } = error
  say({
    type: 'job',
    problem: message,
    ...(cause !== undefined && { error: pack(cause) }),
    ...(exports !== undefined && { exports }),
  })
}

port.on('message', (message: ToWorker) => {
  if (message.type === 'run') void start(message)
  else if (message.type === 'abort') {
    current?.abort()
    wake?.()
  } else if (message.type === 'finish') {
    finish('teardown')
      .catch(tell)
      .then(() => say({ type: 'finished' }))
  } else {
    // What was printed goes to the main thread piece by piece: wait until the last has left.
    process.stdout.write('', () => process.stderr.write('', () => process.exit()))
  }
})
