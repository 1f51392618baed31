// What runs in a thread. The build puts it and all that it imports into one file, which starts sooner, and keeps the text
// of that (worker-source.ts) for bundles that leave the file behind. So it imports little, and only from this room.
import { parentPort, workerData } from 'node:worker_threads'
import { NEXT } from './board.js'
import type { RunMessage, ToWorker } from './messages.js'
import { pack } from './pack-error.js'
import { finish, type Prepared, Problem, prepare } from './thread-job.js'
import { type Say, ThreadLoop } from './thread-loop.js'

const port = parentPort as NonNullable<typeof parentPort>
const say: Say = (message, transfer = []) => port.postMessage(message, transfer)
const { preload } = workerData as { preload: readonly string[] }

/** The job of the run this thread works for, from its first plan to `finish`. */
let prepared: Prepared | undefined
/** The work on one plan. */
let loop: ThreadLoop | undefined

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
    if (run.first.length > 0 || Atomics.load(run.control, NEXT) < run.states.length) {
      if (prepared?.run !== run.run) {
        prepared = undefined
        prepared = await prepare(run)
      }
      loop = new ThreadLoop(run, prepared, say)
      await loop.work()
    }
  } catch (error) {
    tell(error)
  }
  say({ type: 'idle' })
}

async function end(): Promise<void> {
  const last = prepared
  prepared = undefined
  try {
    if (last !== undefined) await finish(last)
  } catch (error) {
    tell(error)
  }
  say({ type: 'finished' })
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
  else if (message.type === 'abort') loop?.abort()
  else if (message.type === 'finish') void end()
  // What was printed goes to the main thread piece by piece: wait until the last has left.
  else process.stdout.write('', () => process.stderr.write('', () => process.exit()))
})
