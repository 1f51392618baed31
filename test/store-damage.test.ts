import { execFile, execFileSync, spawn } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { isMillraceError } from '../lib/base/errors.js'
import { openFolder } from '../lib/store/folder.js'
import { Arena } from '../lib/store/operations.js'
import type { LocalTable, TableConfig } from '../types/store.js'
import { type Damage, entriesOf, MAPS } from './fixtures/store-damage-kit.js'

const folder = mkdtempSync(join(tmpdir(), 'millrace-damage-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))

const CONFIG: TableConfig = { key: 'any', value: 'bytes', compress: 'none', checksum: false }
const encoder = new TextEncoder()
const PAGE = 4096
const scale = Number(process.env.MILLRACE_TEST_SCALE ?? 1)

/** A folder with two states: the one before the last commit is still in the file. */
async function makeMap(path: string): Promise<void> {
  await using store = await openFolder(path)
  for (const state of ['older', 'newest'] as const) {
    const arena = new Arena()
    for (const name of MAPS) {
      const { id } = (await store.table(name, CONFIG)) as LocalTable
      for (const [key, value] of entriesOf(state)) {
        const own = key.startsWith(`${name}k`)
        if (own) arena.set(id, encoder.encode(key.slice(name.length)), encoder.encode(value))
      }
    }
    await store.write(arena)
  }
}

interface Report {
  readonly outcomes: Map<number, string>
  /** Cases that ended a child, and its signal. */
  readonly killed: Map<number, string>
}

/** Has children do the damage and read what is left; after one that died, another goes on behind it. */
async function readDamaged(path: string, cases: readonly Damage[]): Promise<Report> {
  const plan = `${path}.plan`
  copyFileSync(join(path, 'data.mdb'), `${path}.sound`)
  writeFileSync(plan, JSON.stringify({ folder: path, cases }))
  const report: Report = { outcomes: new Map(), killed: new Map() }
  for (let next = 0; next < cases.length; ) {
    const { lines, signal } = await child(plan, next)
    let last = next
    for (const line of lines) {
      const { number, outcome } = JSON.parse(line) as { number: number; outcome?: string }
      last = number
      if (outcome !== undefined) report.outcomes.set(number, outcome)
    }
    if (!report.outcomes.has(last)) report.killed.set(last, signal)
    copyFileSync(`${path}.sound`, join(path, 'data.mdb'))
    next = last + 1
  }
  return report
}

function child(plan: string, first: number): Promise<{ lines: string[]; signal: string }> {
  const program = fileURLToPath(new URL('./fixtures/store-damage.js', import.meta.url))
  return new Promise((resolve, reject) => {
    const made = spawn(process.execPath, [program, plan, String(first)], { stdio: ['ignore', 'pipe', 'ignore'] })
    const guard = setTimeout(() => made.kill('SIGKILL'), 60_000)
    let text = ''
    made.stdout.setEncoding('utf8').on('data', (more: string) => {
      text += more
    })
    made.on('error', reject).on('close', (code, signal) => {
      clearTimeout(guard)
      const lines = text.split('\n').filter((line) => line.endsWith('}'))
      resolve({ lines, signal: signal ?? `exit ${code}` })
    })
  })
}

/** How often each outcome came. */
function tally({ outcomes, killed }: Report): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const outcome of [...outcomes.values(), ...killed.values()]) counts[outcome] = (counts[outcome] ?? 0) + 1
  return counts
}

/** All outcomes but these, and all deaths. */
function unexpected({ outcomes, killed }: Report, cases: readonly Damage[], expected: readonly string[]): string[] {
  const wrong = [...outcomes].filter(([, outcome]) => !expected.includes(outcome))
  return [...wrong, ...killed].map(([number, outcome]) => `${JSON.stringify(cases[number])}: ${outcome}`)
}

const OURS = ['MILL_MAP_DAMAGED', 'MILL_MAP_MISMATCH']

test.serial('H3: any byte of the header changed: MILL_MAP_DAMAGED, or all that is there is right', async (t) => {
  t.timeout(120_000)
  const path = join(folder, 'bytes')
  await makeMap(path)
  // LMDB uses the first bytes of both pages; the others are taken in blocks, or each with a larger scale.
  const used = 176
  const block = scale > 1 ? 1 : 16
  const cases: Damage[] = []
  for (const page of [0, PAGE]) {
    for (let at = 0; at < used; at++) {
      const bits = scale > 1 ? [1, 2, 4, 8, 16, 32, 64, 128, 255] : [1 << (at % 8), 255]
      for (const mask of bits) cases.push({ at: page + at, length: 1, mask })
    }
    // The levels of its two trees: of one there are none left.
    for (const at of [54, 102]) cases.push({ at: page + at, length: 1, mask: 1 })
    for (let at = used; at < PAGE; at += block) cases.push({ at: page + at, length: block, mask: 255 })
  }
  const report = await readDamaged(path, cases)
  t.log(tally(report))
  t.deepEqual(unexpected(report, cases, [...OURS, 'newest', 'older']), [])
  t.is(report.outcomes.size, cases.length)
  t.true((tally(report).MILL_MAP_DAMAGED ?? 0) > 40)
})

test.serial('H3: cut at every page, and within pages: MILL_MAP_DAMAGED unless nothing is missing', async (t) => {
  t.timeout(120_000)
  const path = join(folder, 'cut')
  await makeMap(path)
  const data = readFileSync(join(path, 'data.mdb'))
  const last = Math.max(...[0, PAGE].map((at) => Number(data.readBigUInt64LE(at + 144))))
  const needed = (last + 1) * PAGE
  t.true(needed > 50 * PAGE && needed <= data.length)
  const step = scale > 1 ? 1 : Math.ceil(last / 25)
  const cuts = new Set([0, 1, 47, 159, 160, PAGE - 1, PAGE, PAGE + 159, 2 * PAGE - 1, 2 * PAGE, needed - 1, needed])
  for (let page = 0; page * PAGE <= data.length; page += step) cuts.add(page * PAGE).add(page * PAGE + 1717)
  const cases = [...cuts].filter((cut) => cut < data.length).map((cut): Damage => ({ cut }))
  const report = await readDamaged(path, cases)
  t.log(tally(report))
  const wrong = cases.flatMap((damage, number) => {
    const expected = 'cut' in damage && damage.cut < needed ? 'MILL_MAP_DAMAGED' : 'newest'
    const outcome = report.outcomes.get(number) ?? report.killed.get(number)
    return outcome === expected ? [] : [`${JSON.stringify(damage)}: ${outcome}, not ${expected}`]
  })
  t.deepEqual(wrong, [])
})

test.serial('H3: what is no map is refused in this very process, which lives', async (t) => {
  t.timeout(60_000)
  const sound = join(folder, 'sound')
  await makeMap(sound)
  const good = readFileSync(join(sound, 'data.mdb'))
  let number = 0
  /** A folder with something as its data file. */
  const place = (make: (file: string, path: string) => void): string => {
    const path = join(folder, `refused-${number++}`)
    mkdirSync(path, { mode: 0o700 })
    make(join(path, 'data.mdb'), path)
    return path
  }
  const write = (bytes: Uint8Array | string) => place((file) => writeFileSync(file, bytes))
  const noise = Buffer.from(Array.from({ length: 65_536 }, (_, i) => (i * 2_654_435_761) >>> 24))
  const cases: [string, string][] = [
    ['empty', write('')],
    ['text', write('The quick brown fox jumps over the lazy dog.\n'.repeat(1000))],
    ['zeros', write(new Uint8Array(65_536))],
    ['ones', write(new Uint8Array(65_536).fill(255))],
    ['noise', write(noise)],
    ['another database', write(Buffer.concat([Buffer.from('SQLite format 3\0'), noise]))],
    ['noise behind a good header', write(Buffer.concat([good.subarray(0, 200), noise]))],
    ['two first pages', write(Buffer.concat([good.subarray(0, PAGE), noise]))],
    ['a folder', place((file) => mkdirSync(file))],
    ['a link', place((file) => symlinkSync(join(sound, 'data.mdb'), file))],
    ['a link to nothing', place((file) => symlinkSync(join(folder, 'nowhere'), file))],
    ['a FIFO', place((file) => void execFileSync('mkfifo', [file]))],
    [
      'a lock file that is a folder',
      place((file, path) => {
        writeFileSync(file, good)
        mkdirSync(join(path, 'lock.mdb'))
      }),
    ],
    ['no folder', join(sound, 'data.mdb')],
  ]
  const foreign = join(folder, 'foreign')
  await promisify(execFile)(process.execPath, [
    '--input-type=module',
    '-e',
    `import { open } from ${JSON.stringify(import.meta.resolve('lmdb'))}
     const db = open(${JSON.stringify(foreign)}, { overlappingSync: false, noSubdir: false })
     await db.put('a', 1)
     await db.close()`,
  ])
  cases.push(['an environment of somebody else', foreign])
  for (const [what, path] of cases) {
    const before = bytesOf(path)
    for (const options of [{ readonly: true }, {}, { create: false }]) {
      const error = await t.throwsAsync(openFolder(path, options), undefined, what)
      t.true(isMillraceError(error, 'MILL_MAP_DAMAGED'), `${what}: ${error}`)
      t.is((error as { path?: string }).path, path)
      t.is(typeof (error as { reason?: string }).reason, 'string')
    }
    t.deepEqual(bytesOf(path), before, `${what} stays as it is`)
  }
})

test.serial('H3: a folder that everyone may write to, and nothing at all', async (t) => {
  const path = join(folder, 'open')
  await makeMap(path)
  chmodSync(path, 0o777)
  const refused = await t.throwsAsync(openFolder(path))
  t.true(isMillraceError(refused, 'MILL_PATH_REFUSED'), String(refused))
  chmodSync(path, 0o775)
  await (await openFolder(path)).close()
  for (const options of [{ readonly: true }, { create: false }]) {
    const nowhere = join(folder, 'nothing', 'here')
    const missing = await t.throwsAsync(openFolder(nowhere, options))
    t.true(isMillraceError(missing, 'MILL_MAP_MISSING'), String(missing))
    t.false(existsSync(nowhere), 'nothing was made')
    mkdirSync(nowhere, { recursive: true })
    const empty = await t.throwsAsync(openFolder(nowhere, options))
    t.true(isMillraceError(empty, 'MILL_MAP_MISSING'), String(empty))
    rmSync(join(folder, 'nothing'), { recursive: true })
  }
})

test.serial('a lock file that was lost is made anew, whole', async (t) => {
  const path = join(folder, 'unlocked')
  await makeMap(path)
  rmSync(join(path, 'lock.mdb'))
  const store = await openFolder(path, { readonly: true })
  t.is((await store.table(''))?.size, 220)
  const status = statSync(join(path, 'lock.mdb'))
  t.true(status.size >= 65_744)
  t.is(status.mode & 0o777, 0o600)
  await store.close()
})

test.serial('a folder of a later version is MILL_MAP_MISMATCH, and stays as it is', async (t) => {
  const path = join(folder, 'later')
  await makeMap(path)
  const file = join(path, 'data.mdb')
  const data = readFileSync(file)
  const record = '{"format":"millrace-map","version":1}'
  let found = 0
  for (let at = data.indexOf(record); at !== -1; at = data.indexOf(record, at + 1), found++) {
    data.write(record.replace('1}', '2}'), at)
  }
  t.true(found > 0)
  writeFileSync(file, data)
  for (const options of [{ readonly: true }, {}]) {
    const error = await t.throwsAsync(openFolder(path, options))
    t.true(isMillraceError(error, 'MILL_MAP_MISMATCH'), String(error))
    t.like(error, { path, field: 'version', expected: 1, found: 2 })
  }
  t.true(readFileSync(file).equals(data))
})

test.serial('G2: with few file descriptors left opening is an error, not the end of the process', async (t) => {
  t.timeout(60_000)
  const path = join(folder, 'descriptors')
  {
    await using store = await openFolder(path)
    const { id } = (await store.table('', CONFIG)) as LocalTable
    const arena = new Arena()
    arena.set(id, Uint8Array.of(1), Uint8Array.of(7))
    await store.write(arena)
  }
  const program = fileURLToPath(new URL('./fixtures/store-descriptors.js', import.meta.url))
  for (const way of ['readonly', 'inline']) {
    const command = 'ulimit -n 100; exec "$0" "$1" "$2" "$3"'
    const args = ['-c', command, process.execPath, program, path, way]
    const { stdout } = await promisify(execFile)('bash', args, { timeout: 30_000 })
    const outcomes = JSON.parse(stdout) as string[]
    t.deepEqual([...new Set(outcomes)].sort(), ['MILL_STORE_IO', 'right'], `${way}: ${outcomes}`)
    t.is(outcomes.indexOf('right'), outcomes.lastIndexOf('MILL_STORE_IO') + 1, `${way}: ${outcomes}`)
  }
})

/** What lies at a path; undefined for what has no bytes. */
function bytesOf(path: string): Uint8Array | undefined {
  const file = join(path, 'data.mdb')
  if (!statSync(path).isDirectory()) return readFileSync(path)
  const status = lstatSync(file, { throwIfNoEntry: false })
  return status?.isFile() === true ? readFileSync(file) : undefined
}
