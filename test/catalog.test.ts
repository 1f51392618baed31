import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { isMillraceError } from '../lib/base/errors.js'
import { HugeMap } from '../lib/hugemap/index.js'
import { openCatalog } from '../lib/store/catalog.js'
import { memoryCatalog } from '../lib/store/catalog-memory.js'
import type { Catalog, CatalogKey } from '../types/catalog.js'
import { until } from './fixtures/run-kit.js'
import { codeOf, within } from './fixtures/stream-kit.js'

const child = fileURLToPath(new URL('./fixtures/catalog-child.js', import.meta.url))
const run = promisify(execFile)
const scale = Number(process.env.MILLRACE_TEST_SCALE ?? 1)
const GUARD = 60_000

const folder = mkdtempSync(join(tmpdir(), 'millrace-catalog-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))
let names = 0
const newPath = (): string => {
  const own = join(folder, String(names++))
  mkdirSync(own)
  return join(own, 'catalog.mdb')
}

const engines: [name: string, open: () => Promise<Catalog>][] = [
  ['memory', async () => memoryCatalog()],
  ['lmdb', () => openCatalog(newPath())],
]

const codeIn = (work: () => unknown): unknown => {
  try {
    work()
  } catch (error) {
    return codeOf(error)
  }
  return 'nothing was thrown'
}

for (const [name, open] of engines) {
  test(`${name}: what was put is there, sorted by number and text`, async (t) => {
    const catalog = await open()
    const keys: CatalogKey[] = [
      ['a'],
      ['a', -5],
      ['a', 2],
      ['a', 10, 'x'],
      ['a', 10, 'y'],
      ['a', 1e15],
      ['a', 'b'],
      ['b'],
    ]
    catalog.transact(() => {
      for (const key of [...keys].reverse()) catalog.put(key, { key })
    })
    t.deepEqual(catalog.get(['a', 10, 'y']), { key: ['a', 10, 'y'] })
    t.is(catalog.get(['a', 10]), undefined)
    const all = [...catalog.range(['a'], ['c'])]
    t.deepEqual(
      all.map(([key]) => key),
      keys,
    )
    t.deepEqual(
      all.map(([, value]) => value),
      keys.map((key) => ({ key })),
    )
    // Of those that begin with a word the numbers end before any text.
    t.deepEqual(
      [...catalog.range(['a'], ['a', ''])].map(([key]) => key),
      keys.slice(0, 6),
    )
    t.deepEqual(
      [...catalog.range(['a', 2], ['a', 10, 'y'], { reverse: true, limit: 1 })].map(([key]) => key),
      [['a', 10, 'x']],
    )
    await catalog.close()
  })

  test(`${name}: a transaction sees what it has done; a throw undoes all of it`, async (t) => {
    const catalog = await open()
    catalog.transact(() => {
      catalog.put(['x', 1], 'one')
      catalog.put(['x', 2], 'two')
      catalog.put(['x', 3], 'three')
    })
    const error = new Error('no')
    t.is(
      t.throws(() =>
        catalog.transact(() => {
          catalog.put(['x', 2], 'changed')
          catalog.put(['x', 2.5], 'new')
          t.true(catalog.delete(['x', 1]))
          t.false(catalog.delete(['x', 1]))
          t.false(catalog.delete(['x', 9]))
          t.is(catalog.get(['x', 1]), undefined)
          t.deepEqual(
            [...catalog.range(['x'], ['y'])].map(([, value]) => value),
            ['changed', 'new', 'three'],
          )
          t.deepEqual(
            [...catalog.range(['x'], ['y'], { reverse: true, limit: 2 })].map(([, value]) => value),
            ['three', 'new'],
          )
          t.deepEqual(
            [...catalog.range(['x'], ['y'], { limit: 1 })].map(([, value]) => value),
            ['changed'],
          )
          throw error
        }),
      ),
      error,
    )
    t.deepEqual(
      [...catalog.range(['x'], ['y'])].map(([, value]) => value),
      ['one', 'two', 'three'],
    )
    // What was deleted takes no place among those that are asked for.
    catalog.transact(() => {
      catalog.delete(['x', 1])
      t.deepEqual([...catalog.range(['x'], ['y'], { limit: 1 })], [[['x', 2], 'two']])
    })
    t.is(
      catalog.transact(() => 'result'),
      'result',
    )
    await catalog.close()
  })

  test(`${name}: what it does not take changes nothing`, async (t) => {
    const catalog = await open()
    const bad: unknown[] = [
      undefined,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      -0,
      1n,
      () => 1,
      Symbol('s'),
      new Date(),
      new Map(),
      { a: undefined },
      Object.assign(new Array(3), { 0: 1, 2: 3 }),
      Object.assign([1], { more: 2 }),
      '\ud800',
      'x'.repeat(65_536),
      JSON.parse('{"__proto__": 1}'),
      { toJSON: 1 },
      new Uint8Array(3),
    ]
    const cycle: unknown[] = []
    cycle.push(cycle)
    for (const value of [...bad, cycle]) {
      t.is(
        codeIn(() => catalog.transact(() => catalog.put(['v'], value))),
        'MILL_INVALID_ARGUMENT',
      )
    }
    const keys: unknown[] = [[], [1], 'a', ['a', Number.NaN], ['a', -0], ['a', null], ['a', '\udc00'], ['a'.repeat(70)]]
    for (const key of keys) {
      t.is(
        codeIn(() => catalog.get(key as CatalogKey)),
        'MILL_INVALID_ARGUMENT',
      )
    }
    t.is(
      codeIn(() => catalog.put(['a'], 1)),
      'MILL_INVALID_ARGUMENT',
    )
    t.is(
      codeIn(() => catalog.delete(['a'])),
      'MILL_INVALID_ARGUMENT',
    )
    t.is(
      codeIn(() => catalog.transact(() => catalog.transact(() => 1))),
      'MILL_INVALID_ARGUMENT',
    )
    t.is(
      codeIn(() => catalog.transact(async () => catalog.put(['a'], 1))),
      'MILL_INVALID_ARGUMENT',
    )
    t.is(
      codeIn(() => [...catalog.range(['a'], ['b'], { limit: -1 })]),
      'MILL_INVALID_ARGUMENT',
    )
    t.deepEqual([...catalog.range([''], ['\u{10ffff}'])], [])
    // The largest that fits, and the strangest that JSON keeps.
    const odd = { a: [null, true, -1.5e300, 'é😀\u0000', []], '': {} }
    catalog.transact(() => {
      catalog.put(['v'], odd)
      catalog.put(['w'], 'x'.repeat(65_534))
    })
    t.deepEqual(catalog.get(['v']), odd)
    t.is((catalog.get(['w']) as string).length, 65_534)
    t.not(catalog.get(['v']), catalog.get(['v']))
    await catalog.close()
  })

  test(`${name}: closed is closed`, async (t) => {
    const catalog = await open()
    await catalog.close()
    await catalog.close()
    for (const use of [
      () => catalog.get(['a']),
      () => [...catalog.range(['a'], ['b'])],
      () => catalog.transact(() => 1),
      () => catalog.put(['a'], 1),
      () => catalog.delete(['a']),
      () => catalog.refresh(),
    ]) {
      t.is(codeIn(use), 'MILL_CLOSED')
    }
  })

  test(`${name}: against a sorted array`, async (t) => {
    const part = fc.oneof(fc.integer({ min: -3, max: 12 }), fc.constantFrom('', 'a', 'b', 'é', '\u0000'))
    const key = fc
      .tuple(fc.constantFrom('s', 't'), fc.array(part, { maxLength: 2 }))
      .map(([word, parts]): CatalogKey => [word, ...parts])
    const step = fc.oneof(
      fc.record({ is: fc.constant('put' as const), key, value: fc.integer() }),
      fc.record({ is: fc.constant('delete' as const), key }),
      fc.record({
        is: fc.constant('range' as const),
        from: key,
        to: key,
        reverse: fc.boolean(),
        limit: fc.option(fc.nat({ max: 4 }), { nil: undefined }),
      }),
    )
    const groups = fc.array(fc.record({ steps: fc.array(step, { maxLength: 12 }), fails: fc.boolean() }), {
      maxLength: 6,
    })
    const catalog = await open()
    fc.assert(
      fc.property(groups, (transactions) => {
        catalog.transact(() => {
          for (const [old] of catalog.range(['s'], ['u'])) catalog.delete(old)
        })
        let model: [CatalogKey, unknown][] = []
        for (const { steps, fails } of transactions) {
          const before = model
          model = [...model]
          const work = (): void => {
            for (const each of steps) runStep(t, catalog, model, each)
            if (fails) throw new Error('undo')
          }
          if (fails) {
            t.throws(() => catalog.transact(work), { message: 'undo' })
            model = before
          } else catalog.transact(work)
          t.deepEqual([...catalog.range(['s'], ['u'])], model)
        }
      }),
      { numRuns: 60 * scale },
    )
    await catalog.close()
  })
}

type Step =
  | { is: 'put'; key: CatalogKey; value: number }
  | { is: 'delete'; key: CatalogKey }
  | { is: 'range'; from: CatalogKey; to: CatalogKey; reverse: boolean; limit: number | undefined }

function runStep(
  t: { is(a: unknown, b: unknown): unknown; deepEqual(a: unknown, b: unknown): unknown },
  catalog: Catalog,
  model: [CatalogKey, unknown][],
  step: Step,
): void {
  if (step.is === 'range') {
    const { from, to, reverse, limit } = step
    const expected = model.filter(([key]) => compareKeys(key, from) >= 0 && compareKeys(key, to) < 0)
    if (reverse) expected.reverse()
    const options = { reverse, ...(limit !== undefined && { limit }) }
    t.deepEqual([...catalog.range(from, to, options)], expected.slice(0, limit))
    return
  }
  const at = model.findIndex(([key]) => compareKeys(key, step.key) === 0)
  if (step.is === 'delete') {
    t.is(catalog.delete(step.key), at >= 0)
    if (at >= 0) model.splice(at, 1)
    return
  }
  catalog.put(step.key, step.value)
  if (at >= 0) model[at] = [step.key, step.value]
  else model.push([step.key, step.value])
  model.sort(([a], [b]) => compareKeys(a, b))
  t.is(catalog.get(step.key), step.value)
}

function compareKeys(a: CatalogKey, b: CatalogKey): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const x = a[i] as string | number
    const y = b[i] as string | number
    if (x === y) continue
    if (typeof x !== typeof y) return typeof x === 'number' ? -1 : 1
    return x < y ? -1 : 1
  }
  return a.length - b.length
}

test('lmdb: what a transaction did is there after a close, in two files of sensible size', async (t) => {
  const path = newPath()
  const first = await openCatalog(path)
  first.transact(() => first.put(['a'], [1, 2]))
  await first.close()
  t.deepEqual(readdirSync(join(path, '..')).sort(), ['catalog.mdb', 'catalog.mdb-lock'])
  t.is(statSync(path).mode & 0o777, 0o600)
  t.true(statSync(path).size < 2 ** 20)
  const second = await openCatalog(path)
  t.deepEqual(second.get(['a']), [1, 2])
  await second.close()
})

test('lmdb: the same file twice in one process, under two names; each close counts', async (t) => {
  const path = newPath()
  const link = join(folder, 'by-link')
  symlinkSync(join(path, '..'), link)
  const [first, second] = await Promise.all([openCatalog(path), openCatalog(join(link, 'catalog.mdb'))])
  first.transact(() => first.put(['a'], 1))
  t.is(second.get(['a']), 1)
  t.is(
    codeIn(() => first.transact(() => second.transact(() => 1))),
    'MILL_INVALID_ARGUMENT',
  )
  await first.close()
  t.is(
    codeIn(() => first.get(['a'])),
    'MILL_CLOSED',
  )
  second.transact(() => second.put(['a'], 2))
  const closing = second.close()
  const third = await openCatalog(path)
  await closing
  t.is(third.get(['a']), 2)
  await third.close()
})

test('lmdb: many open and close the same file at a time', async (t) => {
  const path = newPath()
  await within(
    Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        const catalog = await openCatalog(path)
        catalog.transact(() => catalog.put(['k', i], i))
        if (i % 3 === 0) await new Promise((resolve) => setImmediate(resolve))
        await catalog.close()
      }),
    ),
    'opening and closing',
    20_000,
  )
  const catalog = await openCatalog(path)
  t.is([...catalog.range(['k'], ['l'])].length, 40)
  await catalog.close()
})

/** A child, and the lines it says. */
function start(...args: string[]): { process: ChildProcess; lines: AsyncIterableIterator<string>; said: string[] } {
  const process_ = spawn(process.execPath, [child, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const said: string[] = []
  const reader = createInterface({ input: process_.stdout as NodeJS.ReadableStream })
  reader.on('line', (line) => said.push(line))
  return { process: process_, lines: reader[Symbol.asyncIterator](), said }
}

test('lmdb: another process commits; refresh shows it within one turn', async (t) => {
  const path = newPath()
  const catalog = await openCatalog(path)
  t.is(catalog.get(['n']), undefined)
  await within(run(process.execPath, [child, 'count', path, '3']), 'the child', 20_000)
  catalog.refresh()
  t.is(catalog.get(['n']), 3)
  const other = start('count', path, '1')
  await within(once(other.process, 'exit'), 'the child', 20_000)
  t.is(
    catalog.transact(() => catalog.get(['n'])),
    4,
  )
  await catalog.close()
})

test.serial('G1: what was committed stays, whatever an opener writes into the lock file', async (t) => {
  const path = newPath()
  const catalog = await openCatalog(path)
  for (let n = 1; n <= 6; n++) {
    catalog.transact(() => catalog.put(['n'], n))
    for (const by of ['1', '4']) {
      if (n > Number(by)) await run(process.execPath, [child, 'put-back', `${path}-lock`, by])
      t.is(
        catalog.transact(() => catalog.get(['n'])),
        n,
      )
      catalog.transact(() => catalog.put(['by', n, Number(by)], true))
    }
  }
  t.is([...catalog.range(['by'], ['bz'])].length, 12)
  await catalog.close()
})

test('G1: the same for a map', async (t) => {
  const path = newPath()
  const map = await HugeMap.open<string, unknown>(path)
  const all = Array.from({ length: 8 }, (_, n) => n)
  for (const n of all) {
    await map.set(`key ${n}`, n)
    if (n > 4) await run(process.execPath, [child, 'put-back', join(path, 'lock.mdb'), '2'])
  }
  await map.set('last', true)
  t.deepEqual(await Promise.all(all.map((n) => map.get(`key ${n}`))), all)
  await map.close()
})

/** A folder where many commits and openings meet: in memory, where the machine has such a disk. */
function fastFolder(t: ExecutionContext): string {
  const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'millrace-catalog-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/**
 * A commit that is not seen comes into sight although nobody commits or opens any more: who hid it puts it right. Throws
 * if it does not.
 */
async function comesIntoSight(path: string, sees: () => boolean): Promise<void> {
  writeFileSync(`${path}.pause`, '')
  await until(sees, 'the last commit, for readers')
  rmSync(`${path}.pause`)
}

test.serial('G1: no commit is lost, or stays hidden, while others open and close the file', async (t) => {
  t.timeout(GUARD)
  const path = join(fastFolder(t), 'catalog.mdb')
  const catalog = await openCatalog(path)
  const openers = [1, 2, 3].map(() => start('reopen', path))
  t.teardown(() => openers.forEach(({ process: each }) => void each.kill('SIGKILL')))
  for (let n = 0, end = Date.now() + 2500 * scale; Date.now() < end; n++) {
    catalog.transact(() => {
      if (((catalog.get(['n']) as number | undefined) ?? 0) !== n) throw new Error(`${n} is lost`)
      catalog.put(['n'], n + 1)
      catalog.put(['some', n % 200], 'x'.repeat(100))
    })
    const sees = (): boolean => {
      catalog.refresh()
      return catalog.get(['n']) === n + 1
    }
    if (!sees()) await comesIntoSight(path, sees)
    if (n % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  for (const { process: each } of openers) t.is(each.exitCode, null)
  await catalog.close()
})

test.serial('G1: no commit of a map is lost, or stays hidden, while others open it read-only', async (t) => {
  t.timeout(GUARD)
  const path = join(fastFolder(t), 'map')
  const map = await HugeMap.open<string, number>(path)
  await map.set('n', 0)
  const openers = [1, 2, 3].map(() => start('reopen-map', path))
  t.teardown(() => openers.forEach(({ process: each }) => void each.kill('SIGKILL')))
  for (let n = 1, end = Date.now() + 2500 * scale; Date.now() < end; n++) {
    await map.set('n', n)
    const sees = (): boolean => {
      map.refresh()
      return map.get('n') === n
    }
    if (!sees()) await comesIntoSight(path, sees)
  }
  for (const { process: each } of openers) t.is(each.exitCode, null)
  await map.close()
})

test('G1: killed at any moment, all that a catalog acknowledged is there, and nothing is half done', async (t) => {
  const path = newPath()
  const catalog = await openCatalog(path)
  let acknowledged = 0
  for (let round = 0; round < 6 * scale; round++) {
    const children = Array.from({ length: 3 }, () => start('count', path, '100000'))
    // Some of its own, with the peers at work and dying.
    await Promise.all(children.map(({ lines }) => within(lines.next(), 'the first one', 20_000)))
    for (const { process: each } of children) {
      for (let i = 0; i < 5; i++) {
        catalog.transact(() => {
          const next = (catalog.get(['n']) as number) + 1
          catalog.put(['n'], next)
          catalog.put(['twice'], 2 * next)
        })
        acknowledged++
      }
      const gone = once(each, 'close')
      each.kill('SIGKILL')
      await within(gone, 'the end of it', 20_000)
    }
    for (const { said } of children) acknowledged += said.length
    const n = catalog.transact(() => catalog.get(['n']) as number)
    t.is(
      catalog.transact(() => catalog.get(['twice'])),
      2 * n,
    )
    // Each child may have had one transaction done that it did not live to tell of.
    t.true(n >= acknowledged && n <= acknowledged + 3 * (round + 1), `${n} of ${acknowledged} in round ${round}`)
  }
  await catalog.close()
})

test('lmdb: a process that dies within a transaction leaves nothing of it, and no lock', async (t) => {
  const path = newPath()
  const catalog = await openCatalog(path)
  const holder = start('hold', path)
  t.is((await within(holder.lines.next(), 'the lock', 20_000)).value, 'within')
  // Readers go on meanwhile.
  catalog.refresh()
  t.is(catalog.get(['held']), undefined)
  const gone = once(holder.process, 'close')
  holder.process.kill('SIGKILL')
  await within(gone, 'the end of it', 20_000)
  catalog.transact(() => catalog.put(['after'], 1))
  t.is(catalog.get(['held']), undefined)
  t.is(catalog.get(['after']), 1)
  await catalog.close()
})

/** A catalog with something in it, closed. */
async function made(): Promise<string> {
  const path = newPath()
  const catalog = await openCatalog(path)
  catalog.transact(() => {
    for (let i = 0; i < 400; i++) catalog.put(['a', i], 'x'.repeat(50))
    catalog.put(['a'], 'fine')
  })
  await catalog.close()
  return path
}

test('G2: a damaged catalog is an error of ours in a process that lives', async (t) => {
  const damage: [string, (path: string) => void][] = [
    ['empty', (path) => truncateSync(path, 0)],
    ['one byte', (path) => truncateSync(path, 1)],
    ['a page and a half', (path) => truncateSync(path, 6144)],
    ['cut', (path) => truncateSync(path, 5 * 4096)],
    ['text', (path) => writeFileSync(path, 'this is no catalog '.repeat(1000))],
    ['zeros', (path) => writeFileSync(path, new Uint8Array(100_000))],
    ['noise', (path) => writeFileSync(path, noise(100_000))],
    ['a bit of the magic', (path) => flip(path, 24)],
    ['a bit of the second page', (path) => flip(path, 4096 + 24)],
    ['another format', (path) => flip(path, 28)],
    ['a page size', (path) => flip(path, 49)],
    ['a root of the page in use', (path) => flip(path, 4096 + 136 + 5)],
    ['a folder', (path) => replace(path, () => mkdirSync(path))],
    ['a link', (path) => replace(path, (old) => symlinkSync(old, path))],
    ['a dangling link', (path) => replace(path, () => symlinkSync('/nowhere/at/all', path))],
    ['its lock file a folder', (path) => replace(`${path}-lock`, () => mkdirSync(`${path}-lock`))],
    ['its lock file a link', (path) => replace(`${path}-lock`, (old) => symlinkSync(old, `${path}-lock`))],
  ]
  for (const [name, spoil] of damage) {
    const path = await made()
    spoil(path)
    const { stdout } = await within(run(process.execPath, [child, 'open', path]), name, 20_000)
    t.regex(stdout, /^error MILL_CATALOG_DAMAGED /, name)
  }
})

test('G2: a pipe in the place of a catalog does not hang', async (t) => {
  const path = newPath()
  await run('mkfifo', [path])
  const { stdout } = await within(run(process.execPath, [child, 'open', path]), 'opening', 20_000)
  t.regex(stdout, /^error MILL_CATALOG_DAMAGED /)
})

const noise = (size: number): Uint8Array => Uint8Array.from({ length: size }, (_, i) => (i * 2654435761) >>> 13)

function flip(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at] = (bytes[at] as number) ^ 1
  writeFileSync(path, bytes)
}

function replace(path: string, make: (old: string) => void): void {
  const old = `${path}.old`
  linkSync(path, old)
  rmSync(path)
  make(old)
}

test('lmdb: a file that is just being made is waited for', async (t) => {
  const [path, whole] = [newPath(), readFileSync(await made())]
  writeFileSync(path, whole.subarray(0, 100))
  const opening = openCatalog(path)
  setTimeout(() => writeFileSync(path, whole), 100)
  const catalog = await within(opening, 'opening', 20_000)
  t.is(catalog.get(['a']), 'fine')
  await catalog.close()
})

test('lmdb: a lost lock file is made again, a lost catalog is a new one', async (t) => {
  const path = await made()
  rmSync(`${path}-lock`)
  const catalog = await openCatalog(path)
  t.is(catalog.get(['a']), 'fine')
  t.true(statSync(`${path}-lock`).size > 65_000)
  await catalog.close()
  rmSync(path)
  const empty = await openCatalog(path)
  t.is(empty.get(['a']), undefined)
  empty.transact(() => empty.put(['a'], 'new'))
  t.is(empty.get(['a']), 'new')
  await empty.close()
})

test('lmdb: where there is no folder there is no catalog', async (t) => {
  const error = await t.throwsAsync(openCatalog(join(folder, 'not', 'there', 'catalog.mdb')))
  t.true(isMillraceError(error, 'MILL_STORE_IO'))
})

test('G2: a full disk refuses a transaction, and deleting works on it', async (t) => {
  const path = newPath()
  // ulimit counts blocks of 1,024 bytes in bash: files of 1 MiB at most.
  const command = `ulimit -f 1024; exec "${process.execPath}" "${child}" fill "${path}" 3000`
  const { stdout } = await within(run('bash', ['-c', command]), 'filling', 60_000)
  const [refused = '', left = '', closed] = stdout.trim().split('\n')
  t.regex(refused, /^refused MILL_DISK_FULL after \d+$/)
  const stored = Number(refused.split(' ').at(-1))
  t.true(stored > 20, refused)
  t.true(Number(left.split(' ')[1]) >= stored - 10, left)
  t.is(closed, 'closed')
  const catalog = await openCatalog(path)
  catalog.transact(() => catalog.put(['full', -1], 'again'))
  t.is(catalog.get(['full', -1]), 'again')
  await catalog.close()
  t.false(readdirSync(join(path, '..')).some((name) => name.endsWith('.tmp')))
  t.true(existsSync(path))
})
