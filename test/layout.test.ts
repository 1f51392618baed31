import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import test from 'ava'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** Rooms by floor. A room may import lower floors and itself. */
const FLOORS: Record<string, number> = {
  types: 0,
  'lib/base': 1,
  'lib/buffer': 2,
  'lib/codec': 2,
  'lib/io': 2,
  'lib/streams': 3,
  'lib/mapbuffer': 4,
  'lib/run': 4,
  'lib/store': 4,
  'lib/hugemap': 5,
  'lib/loadit': 5,
  lib: 6,
}
/** Files that may import `node:`; all others run in a browser. */
const NODE_FILES = new Set([
  'lib/hugemap/bulk-build.ts',
  'lib/hugemap/bulk-input.ts',
  'lib/hugemap/bulk-key.ts',
  'lib/hugemap/bulk-load.ts',
  'lib/hugemap/bulk-parse.ts',
  'lib/hugemap/bulk-plan.ts',
  'lib/hugemap/bulk-pool.ts',
  'lib/hugemap/bulk-process.ts',
  'lib/hugemap/load-options.ts',
  'lib/hugemap/run-file.ts',
  'lib/io/atomic-write.ts',
  'lib/io/temporary.ts',
  'lib/loadit/catalog.ts',
  'lib/loadit/dataset.ts',
  'lib/loadit/file-ops.ts',
  'lib/loadit/mapping.ts',
  'lib/loadit/open.ts',
  'lib/loadit/options.ts',
  'lib/loadit/permutation.ts',
  'lib/loadit/rebuild.ts',
  'lib/loadit/remote-shard.ts',
  'lib/loadit/restore.ts',
  'lib/loadit/s3.ts',
  'lib/loadit/shard-file.ts',
  'lib/loadit/shard-format.ts',
  'lib/loadit/shard-names.ts',
  'lib/loadit/shard-writer.ts',
  'lib/loadit/stores.ts',
  'lib/loadit/sweep.ts',
  'lib/mapbuffer/node.ts',
  'lib/run/chunk-worker.ts',
  'lib/run/pool.ts',
  'lib/run/run-chunked.ts',
  'lib/run/status-line.ts',
  'lib/store/catalog-file.ts',
  'lib/store/catalog-lmdb.ts',
  'lib/store/catalog.ts',
  'lib/store/folder-files.ts',
  'lib/store/folder-store.ts',
  'lib/store/folder-swap.ts',
  'lib/store/folder.ts',
  'lib/store/last-commit.ts',
  'lib/store/lease.ts',
  'lib/store/lmdb-core.ts',
  'lib/store/lmdb-inline.ts',
  'lib/store/lmdb.ts',
  'lib/store/look.ts',
  'lib/store/place.ts',
  'lib/store/real-path.ts',
  'lib/store/redis-client.ts',
  'lib/store/redis-gate.ts',
  'lib/store/redis-lease.ts',
  'lib/store/redis-link.ts',
  'lib/store/redis-table.ts',
  'lib/store/redis-write.ts',
  'lib/store/reserve.ts',
  'lib/store/seed.ts',
  'lib/store/side-child.ts',
  'lib/store/side-copy.ts',
  'lib/store/side-io.ts',
  'lib/store/side-write.ts',
  'lib/store/tree-file.ts',
  'lib/streams/node.ts',
])
/** Files whose work it is to import what a user names. */
const LOADERS = new Set(['lib/run/chunk-worker.ts', 'lib/run/thread-job.ts', 'lib/hugemap/bulk-module.ts'])
/** Files that may import a package, and which. */
const PACKAGES: Record<string, string> = {
  'lib/run/bullmq-kit.ts': 'bullmq',
  'lib/store/redis-client.ts': 'ioredis',
  'lib/codec/gzip.ts': 'pako',
  'lib/codec/serializer-msgpack.ts': 'msgpackr',
  'lib/codec/zstd.ts': '@bokuweb/zstd-wasm',
  'lib/codec/session-msgpack.ts': 'msgpackr',
  'lib/store/catalog-lmdb.ts': 'lmdb',
  'lib/store/lmdb.ts': 'lmdb',
  'lib/streams/machine.ts': 'streamx',
}

interface Import {
  readonly from: string
  readonly typeOnly: boolean
}

const withoutComments = (text: string): string => text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1')

/** `import x, { y } from '…'`, `export * as z from '…'`, with `type` or without. */
const STATIC =
  /^\s*(?:import|export)\s+(type\s+)?(?:\*(?:\s+as\s+[\w$]+)?|\{[^}]*\}|[\w$]+)(?:\s*,\s*(?:\{[^}]*\}|\*\s+as\s+[\w$]+))?\s*from\s*['"]([^'"]+)['"]/gm
const SIDE_EFFECT = /^\s*import\s*['"]([^'"]+)['"]/gm
const UNKNOWN = 'of an unknown name'
/**
 * Also of a module whose name is not written there, which is nobody's business to do here. A method may be called
 * `require`: its calls have a dot before them, its declaration a type behind its first parameter.
 */
const DYNAMIC = /(?<!typeof |\.)\b(?:import|require)\s*\((?!\s*[\w$]+\??:)\s*(?:['"`]([^'"`]+)['"`])?/g

function importsOf(text: string): Import[] {
  const code = withoutComments(text)
  const found: Import[] = []
  for (const [, type, from = ''] of code.matchAll(STATIC)) found.push({ from, typeOnly: type !== undefined })
  for (const pattern of [SIDE_EFFECT, DYNAMIC]) {
    for (const [, from = UNKNOWN] of code.matchAll(pattern)) found.push({ from, typeOnly: false })
  }
  return found
}

const roomOf = (path: string): string => {
  const parts = path.split('/')
  return parts[0] === 'types' ? 'types' : parts.length > 2 ? parts.slice(0, 2).join('/') : 'lib'
}

/** What is wrong with one file: its imports, and what it may not do at all. */
function faults(path: string, text: string, floors = FLOORS): string[] {
  const wrong: string[] = []
  const say = (what: string): void => void wrong.push(`${path}: ${what}`)
  const room = roomOf(path)
  const floor = floors[room]
  if (floor === undefined) say(`room ${room} has no floor`)
  for (const { from, typeOnly } of importsOf(text)) {
    if (from.startsWith('node:')) {
      // A type of Node's leaves no trace in the output.
      if (!NODE_FILES.has(path) && !typeOnly) say(`imports ${from}`)
    } else if (from.startsWith('.')) {
      if (!from.endsWith('.js')) say(`imports ${from} without .js`)
      const target = new URL(from, `file:///${path}`).pathname.slice(1).replace(/\.js$/, '.ts')
      const to = roomOf(target)
      if (to !== room && (floors[to] ?? 99) >= (floor ?? 0)) say(`imports ${to}, which is not below ${room}`)
      if (room === 'types' && to !== 'types') say(`types import only types, not ${from}`)
    } else if (PACKAGES[path] !== from && !(from === UNKNOWN && LOADERS.has(path))) say(`imports the package ${from}`)
  }
  const code = withoutComments(text)
  if (/^(?:export\s+)?(?:const|let)\b.*=\s*await\b|^await\b/m.test(code)) say('top-level await: require() would fail')
  if (/\beval\s*\(|\bnew\s+Function\b|\bFunction\s*\(|['"](?:node:)?vm['"]/.test(code)) say('makes code from text')
  // Bytes from outside meet searches that are linear on any input, never a pattern.
  if (/(?:[=(,:[!&|?{;>]|\breturn)\s*\/(?![/*])[^\n]*\/|\bRegExp\s*\(/.test(code)) say('has a regular expression')
  if (!NODE_FILES.has(path) && /(?<![\w.$])Buffer\b(?!\?)/.test(code)) say('names Buffer, which only Node has')
  return wrong
}

function files(folder: string): string[] {
  return readdirSync(`${root}${folder}`, { withFileTypes: true }).flatMap((entry) => {
    if (entry.isDirectory()) return files(`${folder}/${entry.name}`)
    return entry.name.endsWith('.ts') ? [`${folder}/${entry.name}`] : []
  })
}

const all = [...files('lib'), ...files('types')]
const read = (path: string): string => readFileSync(`${root}${path}`, 'utf8')

test('imports go down only, and only marked files know Node or a package', (t) => {
  t.true(all.length > 30)
  t.deepEqual(
    all.flatMap((path) => faults(path, read(path))),
    [],
  )
  for (const path of [...NODE_FILES, ...LOADERS, ...Object.keys(PACKAGES)])
    t.true(existsSync(`${root}${path}`), `${path} is gone`)
})

test('the check sees what it is there for', (t) => {
  const bad: [string, string][] = [
    ['lib/base/x.ts', "import { a } from '../buffer/index.js'"],
    ['lib/buffer/x.ts', "export * from '../streams/index.js'"],
    ['lib/buffer/x.ts', "export { a } from '../streams/index.js'"],
    ['lib/buffer/x.ts', "import {\n  a,\n  b,\n} from '../streams/index.js'"],
    ['lib/buffer/x.ts', "const x = await import('../streams/index.js')"],
    ['types/x.ts', "import type { A } from '../lib/base/errors.js'"],
    ['lib/streams/x.ts', "import { Readable } from 'node:stream'"],
    ['lib/streams/x.ts', "import 'node:fs'"],
    ['lib/streams/x.ts', "import { Readable } from 'streamx'"],
    ['lib/buffer/x.ts', "import { a } from './find'"],
    ['lib/new-room/x.ts', ''],
    ['lib/base/x.ts', 'const x = await something()'],
    ['lib/base/x.ts', "new Function('return 1')"],
    ['lib/base/x.ts', "eval('1')"],
    ['lib/streams/node.ts', "import { runInThisContext } from 'node:vm'"],
    ['lib/buffer/x.ts', 'if (/^a+$/.test(text)) count++'],
    ['lib/buffer/x.ts', 'const pattern = new RegExp(text)'],
    ['lib/buffer/x.ts', 'export function f(bytes: Buffer): number {}'],
    ['lib/buffer/x.ts', 'const all = Buffer.concat(list)'],
    ['lib/buffer/x.ts', "export class A {}\nimport { b } from '../streams/x.js'"],
    ['lib/buffer/x.ts', "import a, { type B } from '../streams/x.js'"],
    ['lib/buffer/x.ts', "import type { A } from '../streams/x.js'"],
    ['lib/buffer/x.ts', "export * as all from '../streams/x.js'"],
    ['lib/streams/x.ts', 'const found = await import(name)'],
    ['lib/run/chunk-worker.ts', "const found = await import('piscina')"],
    ['lib/run/chunk-worker.ts', "import { crc32c } from '../base/crc32c'"],
    ['lib/run/x.ts', 'const found = await import(name)'],
    ['lib/streams/node.ts', "const fs = require('fs')"],
  ]
  for (const [path, text] of bad) t.true(faults(path, text).length > 0, text)
  const twoOfAFloor = { ...FLOORS, 'lib/codec': 2 }
  t.true(faults('lib/codec/x.ts', "import { a } from '../buffer/index.js'", twoOfAFloor).length > 0)
  t.deepEqual(faults('lib/codec/x.ts', "import { a } from '../base/bytes.js'", twoOfAFloor), [])
  const good: [string, string][] = [
    [
      'lib/streams/x.ts',
      "import type { Readable } from 'node:stream'\nimport { b } from '../buffer/index.js'\nimport './y.js'",
    ],
    ['lib/base/x.ts', "// import { a } from '../buffer/index.js'\nexport const from = 'x'\nexport const text = 'y'"],
    ['lib/index.ts', "export * from './streams/index.js'"],
    ['lib/base/x.ts', 'const half = (a + b) / 2 / c\nconst natives = (globalThis as { Buffer?: object }).Buffer'],
    ['lib/streams/node.ts', 'export const f = (bytes: Buffer): Buffer => Buffer.from(bytes)'],
    ['lib/base/x.ts', 'async function f() {\n  const x = await g()\n}'],
    ['lib/base/x.ts', 'class B {\n  require(key: string): void {}\n}\nnew B().require(name)'],
  ]
  for (const [path, text] of good) t.deepEqual(faults(path, text), [])
})

test('files are short: none above 500 lines, nine in ten within 300, half within 120', (t) => {
  const lengths = all.map((path) => [read(path).split('\n').length - 1, path] as const).sort((a, b) => a[0] - b[0])
  const at = (share: number) => lengths[Math.ceil(lengths.length * share) - 1]?.[0] ?? 0
  t.true(at(1) <= 500, String(lengths.at(-1)))
  t.true(at(0.9) <= 300, `${at(0.9)}`)
  t.true(at(0.5) <= 120, `${at(0.5)}`)
})
