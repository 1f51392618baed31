import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { build } from 'esbuild'
import {
  type Chunk,
  type ChunkJob,
  ChunkPool,
  inline,
  isMillraceError,
  job,
  type RunError,
  runChunked,
} from '../lib/run/index.js'
import type * as Jobs from './fixtures/run-jobs.js'
import { jobs } from './fixtures/run-jobs.js'
import { shared, tally } from './fixtures/run-kit.js'
import { codeOf, failure, gather, within } from './fixtures/stream-kit.js'

const root = new URL('../../', import.meta.url)

/** A folder of its own, gone after the test. */
function folder(t: ExecutionContext, name = 'place'): string {
  const outer = mkdtempSync(join(realpathSync(tmpdir()), 'millrace-loading-'))
  t.teardown(() => rmSync(outer, { recursive: true, force: true }))
  const inner = join(outer, name)
  mkdirSync(inner)
  return inner
}

/** A job and two programs that use it, in the plainest JavaScript. */
const JOB = 'export function fill({ start, end }, { out }) { for (let i = start; i < end; i++) out[i] = i }\n'
const IMPORTS = "import { inline, job, runChunked, sharedArray } from 'millrace/run'\n"
const BODY = `
const options = { end: 1000, chunkSize: 10, workers: 2, args: { out: sharedArray(Int32Array, 1000) } }
const { done } = await runChunked(work, options)
console.log(done, options.args.out.reduce((a, b) => a + b))
`
const WITH_JOB = `${IMPORTS}const work = job(new URL('./fill.job.js', import.meta.url), 'fill')${BODY}`
const WITH_INLINE = `${IMPORTS}const work = inline(({ start, end }, { out }) => {
  const set = (i) => { out[i] = i }
  for (let i = start; i < end; i++) set(i)
})${BODY}`
const RESULT = '100 499500\n'

/** Of the package only what runs: declarations and maps are three files in four. */
const runs = (path: string): boolean => !path.endsWith('.map') && !path.endsWith('.d.ts')

/** The package as it is published, with a job and programs beside it that import it by its name. */
function installed(t: ExecutionContext, { name, without }: { name?: string; without?: string } = {}): string {
  const place = folder(t, name)
  for (const part of ['dist/lib', 'package.json']) {
    cpSync(new URL(part, root), join(place, part), { recursive: true, filter: runs })
  }
  symlinkSync(realpathSync(new URL('node_modules', root)), join(place, 'node_modules'))
  if (without !== undefined) rmSync(join(place, without))
  writeFileSync(join(place, 'fill.job.js'), JOB)
  writeFileSync(join(place, 'main.js'), WITH_JOB)
  writeFileSync(join(place, 'inline.js'), WITH_INLINE)
  return place
}

/** What the program printed; an error with what it complained of if it failed. */
function node(cwd: string, args: string[], input?: string): Promise<string> {
  const ran = new Promise<string>((resolve, reject) => {
    const child = execFile(process.execPath, args, { cwd, timeout: 45_000 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else
        reject(new Error(`${args.join(' ')}: exit ${error.code}\n${stdout}\n${stderr.replace(/data:\S+/g, 'data:')}`))
    })
    child.stdin?.end(input)
  })
  return within(ran, args.join(' '), 50_000) // only against hanging
}

const WORKER = 'dist/lib/run/chunk-worker.js'

test.serial('the build fills in the source of the worker, and both ways to load it do the same', async (t) => {
  const check = async (without: string | undefined): Promise<void> => {
    // Without the source the file must be enough; the library imports both, so an empty one stands in.
    const place = installed(t, without === undefined ? {} : { without })
    if (without !== undefined && without !== WORKER) writeFileSync(join(place, without), "export const source = ''\n")
    t.is(existsSync(join(place, WORKER)), without !== WORKER)
    const [byJob, byInline] = await Promise.all([node(place, ['main.js']), node(place, ['inline.js'])])
    t.is(byJob, RESULT, `job without ${without}`)
    t.is(byInline, RESULT, `inline without ${without}`)
  }
  await Promise.all([undefined, WORKER, 'dist/lib/run/worker-source.js'].map(check))
})

test.serial('with neither the file nor the source there is an error, and the process ends', async (t) => {
  const place = installed(t, { without: WORKER })
  writeFileSync(join(place, 'dist/lib/run/worker-source.js'), "export const source = ''\n")
  await t.throwsAsync(node(place, ['main.js']), { message: /MILL_RUN_/ })
})

test.serial('a path with spaces, # and % in it', async (t) => {
  for (const without of [undefined, WORKER]) {
    const place = installed(t, { name: 'a b#c?d%20e', ...(without && { without }) })
    t.deepEqual(await Promise.all([node(place, ['main.js']), node(place, ['inline.js'])]), [RESULT, RESULT])
  }
})

test.serial(
  'programs that are no file: -e, --input-type, standard input; and flags a thread may not be given',
  async (t) => {
    for (const without of [undefined, WORKER]) {
      const place = installed(t, without === undefined ? {} : { without })
      const byUrl = WITH_JOB.replace('import.meta.url', `'${pathToFileURL(join(place, 'main.js'))}'`)
      const dynamic = `import('millrace/run').then(async ({ inline, job, runChunked, sharedArray }) => {
      ${byUrl.replace(IMPORTS, '')}
    })`
      const results = await Promise.all([
        node(place, ['--input-type=module', '-e', byUrl]),
        node(place, ['--input-type=module', '-e', WITH_INLINE]),
        node(place, ['--input-type', 'module', '--expose-gc', '--eval', byUrl]),
        node(place, ['--input-type=module'], byUrl),
        node(place, ['--input-type=module', '-'], WITH_INLINE),
        node(place, ['-e', dynamic]),
        node(place, ['--input-type=commonjs', '-e', dynamic]),
        node(place, ['--expose-gc', '--stack-size=900', 'main.js']),
      ])
      t.deepEqual(results, Array(results.length).fill(RESULT))
    }
  },
)

for (const [name, options] of Object.entries({
  'as it is': {},
  'names kept': { keepNames: true },
  'made small': { minify: true },
  'made small, names kept': { minify: true, keepNames: true },
})) {
  test.serial(`bundled together with the job, ${name}`, async (t) => {
    const place = installed(t)
    const outdir = folder(t, 'bundle')
    await build({
      // Bundlers don't follow new URL(): the job is an entry point of its own.
      entryPoints: ['main.js', 'inline.js', 'fill.job.js'].map((file) => join(place, file)),
      alias: { 'millrace/run': join(place, 'dist/lib/run/index.js') },
      bundle: true,
      platform: 'node',
      format: 'esm',
      outExtension: { '.js': '.mjs' },
      outdir,
      logLevel: 'silent',
      // streamx is CommonJS and requires 'events', which a module has no require() for.
      banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)" },
      ...options,
    })
    // What is bundled must not need what it was made of.
    rmSync(place, { recursive: true })
    writeFileSync(join(outdir, 'package.json'), '{ "type": "module" }')
    cpSync(join(outdir, 'fill.job.mjs'), join(outdir, 'fill.job.js'))
    const [byJob, byInline] = await Promise.allSettled([node(outdir, ['main.mjs']), node(outdir, ['inline.mjs'])])
    t.deepEqual(byJob, { status: 'fulfilled', value: RESULT })
    if (name !== 'made small, names kept') t.deepEqual(byInline, { status: 'fulfilled', value: RESULT })
    // Then the text of a function calls a helper whose name nobody can know. It must say so, not hang.
    else t.regex(String((byInline as PromiseRejectedResult).reason), /ReferenceError/)
  })
}

test.serial('a job in TypeScript runs with a preload that registers a loader, and not without', async (t) => {
  const place = installed(t)
  const files = {
    // An enum, so that stripping the types, which newer Nodes do by themselves, is not enough.
    'fill.job.ts': `enum Step { One = 1 }
      interface Args { out: Int32Array }
      export function fill({ start, end }: { start: number; end: number }, { out }: Args): void {
        for (let i: number = start; i < end; i += Step.One) out[i] = i
      }`,
    'hooks.js': `import { readFileSync } from 'node:fs'
      import { transformSync } from 'esbuild'
      export function load(url, context, next) {
        if (!url.endsWith('.ts')) return next(url, context)
        const { code } = transformSync(readFileSync(new URL(url), 'utf8'), { loader: 'ts', format: 'esm' })
        return { format: 'module', source: code, shortCircuit: true }
      }`,
    'loader.js': `import { register } from 'node:module'
      register('./hooks.js', import.meta.url)`,
    'preloaded.js': WITH_JOB.replace('fill.job.js', 'fill.job.ts').replace(
      'workers: 2,',
      "workers: 2, preload: [new URL('./loader.js', import.meta.url)],",
    ),
    'plain.js': WITH_JOB.replace('fill.job.js', 'fill.job.ts'),
  }
  for (const [file, text] of Object.entries(files)) writeFileSync(join(place, file), text)
  const [preloaded, plain] = await Promise.allSettled([node(place, ['preloaded.js']), node(place, ['plain.js'])])
  t.deepEqual(preloaded, { status: 'fulfilled', value: RESULT })
  t.regex(String((plain as PromiseRejectedResult).reason), /MILL_RUN_JOB/)
})

test.serial('preloads are imported in order, before the job; one that is missing is an error', async (t) => {
  const place = folder(t)
  const write = (file: string, text: string): URL => {
    writeFileSync(join(place, file), text)
    return pathToFileURL(join(place, file))
  }
  const first = write('first.mjs', 'globalThis.seen = ["first"]')
  const second = write('second.mjs', 'globalThis.seen.push("second")')
  const url = write('job.mjs', 'const seen = [...globalThis.seen]; export default () => seen.join()')
  const order = job<(chunk: Chunk) => string>(url)
  const run = runChunked(order, { end: 2, chunkSize: 1, workers: 2, preload: [first, second] })
  t.deepEqual(await within(gather(run.values()), 'values'), ['first,second', 'first,second'])

  await using pool = new ChunkPool({ workers: 1, preload: [first, second] })
  t.deepEqual(await within(gather(pool.run(order, { end: 1 }).values()), 'in a pool'), ['first,second'])

  const preload = [new URL('none.mjs', pathToFileURL(`${place}/`))]
  const error = await failure(runChunked(order, { end: 2, workers: 1, preload }))
  t.true(isMillraceError(error), String(error))
  t.regex(String(error), /none\.mjs|MILL_RUN/)
})

/** An instance nobody should see inside a thread. */
const outside = 7

test.serial('inline functions of every form', async (t) => {
  await using pool = new ChunkPool({ workers: 2 })
  const forms: Record<string, (chunk: Chunk, args: { hits: Int32Array }) => unknown> = {
    arrow: ({ index }, { hits }) => Atomics.add(hits, index, 1),
    'async arrow': async ({ index }, { hits }) => Atomics.add(hits, index, 1),
    function: ({ index }, { hits }) => {
      Atomics.add(hits, index, 1)
    },
    'named, calls itself': function self(chunk, args, depth = 3): void {
      if (depth > 0) (self as (c: Chunk, a: { hits: Int32Array }, d: number) => void)(chunk, args, depth - 1)
      else Atomics.add(args.hits, chunk.index, 1)
    },
    method({ index }, { hits }) {
      Atomics.add(hits, index, 1)
    },
    async method2({ index }, { hits }) {
      Atomics.add(hits, index, 1)
    },
    async({ index }, { hits }) {
      Atomics.add(hits, index, 1)
    },
    delete({ index }, { hits }) {
      Atomics.add(hits, index, 1)
    },
    'a name / with * everything'({ index }, { hits }) {
      Atomics.add(hits, index, 1)
    },
    'with a comment': /* a => */ (chunk, args) => Atomics.add(args.hits, chunk.index, 1), // }
    'method of a class': new (class {
      readonly part = 1
      hit({ index }: Chunk, { hits }: { hits: Int32Array }) {
        Atomics.add(hits, index, 1)
      }
    })().hit,
  }
  for (const [form, fn] of Object.entries(forms)) {
    const hits = shared(4)
    const work = inline(fn)
    t.is(work.kind, 'inline')
    await within(pool.run(work, { end: 4, chunkSize: 1, args: { hits } }), form)
    t.is(tally(hits), '1x4', form)
  }
})

test.serial('an inline function that uses something outside itself fails and is told what to do', async (t) => {
  await using pool = new ChunkPool({ workers: 1 })
  const closing = inline(({ start }: Chunk) => start + outside)
  const error = (await failure(pool.run(closing, { end: 1 }))) as RunError
  t.is(error.code, 'MILL_RUN_CHUNK')
  t.true(error.cause instanceof ReferenceError)
  t.regex(error.message, /pass it in args, or use job\(\)/)
  t.notRegex(String((error.cause as Error).stack), /data:/, 'a stack one can read')
  // An error of another kind gets no such advice.
  const failing = (await failure(
    pool.run(
      inline(() => JSON.parse('{')),
      { end: 1 },
    ),
  )) as RunError
  t.notRegex(failing.message, /pass it in args/)
})

test.serial('a function without source is refused at once', (t) => {
  for (const fn of [Math.max, ((): void => {}).bind(undefined), Array.prototype.push]) {
    const error = t.throws(() => inline(fn as () => unknown))
    t.true(isMillraceError(error, 'MILL_RUN_JOB'), String(error))
  }
})

test.serial('what is missing is named: the module, the export; a default export needs no name', async (t) => {
  await using pool = new ChunkPool({ workers: 1 })
  const failing = async (work: ChunkJob) => (await failure(pool.run(work, { end: 3, args: {} }))) as RunError & Fields
  type Fields = { url?: unknown; name?: unknown; exports?: string[] }

  const none = new URL('./none.js', jobs)
  const noModule = await failing(job(none, 'fill'))
  t.is(noModule.code, 'MILL_RUN_JOB')
  t.is(String(noModule.url), none.href)
  t.is(codeOf(noModule.cause), 'ERR_MODULE_NOT_FOUND')
  t.true(noModule.message.includes('none.js'))

  for (const name of ['fil', 'notAFunction', 'toString']) {
    const noExport = await failing(job(jobs, name))
    t.is(noExport.code, 'MILL_RUN_JOB')
    t.true(noExport.message.includes(name))
    t.true(noExport.message.includes('hitAndNote'), 'lists what there is')
    t.true(noExport.exports?.includes('hitAndNote'))
  }
  t.is((await failing(job(jobs, 'hit', { init: 'opne' }))).code, 'MILL_RUN_JOB')

  const broken = new URL(`data:text/javascript,${encodeURIComponent('export const x = ; ')}`)
  const noSyntax = await failing(job(broken))
  t.is(noSyntax.code, 'MILL_RUN_JOB')
  t.true(noSyntax.cause instanceof SyntaxError)

  const throwing = new URL(`data:text/javascript,${encodeURIComponent('throw new RangeError("at once")')}`)
  t.is(((await failing(job(throwing))).cause as Error).message, 'at once')

  // After all that the thread is as good as new.
  const run = pool.run(job<typeof Jobs.default>(jobs), { end: 3, chunkSize: 1 })
  t.deepEqual(await within(gather(run.values()), 'values'), [0, 1, 2])
  t.is(job(jobs, 'hit').name, 'hit')
  t.is(job(jobs).name, 'default')
  t.true(existsSync(fileURLToPath(jobs)))
})
