import type { Chunk } from '../../types/run.js'
import type { JobSpec, RunMessage } from './messages.js'
import { isError, text } from './pack-error.js'

export type Fn = (chunk: Chunk<unknown>, args: unknown) => unknown
type Hook = (...args: unknown[]) => unknown
interface Job {
  readonly fn: Fn
  readonly init: Hook | undefined
  readonly teardown: Hook | undefined
}

/** A job that can be run: its function, and what its `init` returned for one run. */
export interface Prepared {
  readonly run: string
  readonly spec: JobSpec
  readonly job: Job
  readonly state: unknown
}

/** esbuild's keepNames puts a call of this helper into functions; one that is sent as text would miss it. */
const globals = globalThis as { __name?: unknown }
globals.__name ??= (fn: unknown) => fn

/** Why the job cannot be run; the main thread makes an error of it. */
export class Problem extends Error {
  readonly exports: readonly string[] | undefined
  constructor(message: string, cause: unknown, exports?: readonly string[]) {
    super(message, cause === undefined ? undefined : { cause })
    this.exports = exports
  }
}

/** Modules that are in: asking the loader for one again takes 40 us, a tenth of a small run in a warm pool. */
const modules = new Map<string, Record<string, unknown>>()

async function load({ name, url, source, init, teardown }: JobSpec): Promise<Job> {
  if (source !== undefined) return { fn: await fromSource(source, name), init: undefined, teardown: undefined }
  const module = modules.get(url as string) ?? (await loadModule(url as string))
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

async function loadModule(url: string): Promise<Record<string, unknown>> {
  try {
    const module = await import(url)
    modules.set(url, module)
    return module
  } catch (error) {
    throw new Problem(`cannot be imported: ${isError(error) ? error.message : text(error)}`, error)
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
    // No expression, then: what it really suffers from is told if it is no method either.
    try {
      return (await asModule(`Object.values({ ${source}\n})[0]`)).default
    } catch (error) {
      throw new Problem(`cannot be read as a function: ${isError(error) ? error.message : text(error)}`, error)
    }
  }
}

/** Loads the job of a run and calls its `init`. Throws a {@link Problem}. */
export async function prepare(run: RunMessage): Promise<Prepared> {
  const job = await load(run.job)
  try {
    return { run: run.run, spec: run.job, job, state: await job.init?.(run.args, { worker: run.slot }) }
  } catch (error) {
    throw new Problem(`failed in "${run.job.init}": ${isError(error) ? error.message : text(error)}`, error)
  }
}

/** Calls its `teardown`. Throws a {@link Problem}. */
export async function finish({ spec, job, state }: Prepared): Promise<void> {
  try {
    await job.teardown?.(state)
  } catch (error) {
    throw new Problem(`failed in "${spec.teardown}": ${isError(error) ? error.message : text(error)}`, error)
  }
}
