import { cpSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { makeMap } from '../lib/hugemap/bulk-build.js'
import { FIRST_MAP, openEnvironment } from '../lib/store/lmdb-environment.js'
import type { LmdbTable } from '../lib/store/lmdb-table.js'
import { seedFolder } from '../lib/store/seed.js'
import { TreeBuilder } from '../lib/store/tree-builder.js'
import { TreeFile } from '../lib/store/tree-file.js'
import { rounds } from './fixtures/run-kit.js'

type Pair = readonly [Uint8Array, Uint8Array]

const CONFIG = { key: 'bytes', value: 'bytes', compress: 'none', checksum: false }
const MAX_MAPS = 8
const APPEND = Object.freeze({ append: true })

const made = mkdtempSync(join(tmpdir(), 'millrace-tree-'))
test.after.always(() => rmSync(made, { recursive: true, force: true }))
const templates = new Map<number, Promise<string>>()
let folders = 0

async function template(pageSize: number): Promise<string> {
  const folder = join(made, `empty-${pageSize}`)
  await seedFolder(folder, pageSize)
  await makeMap(folder, '', CONFIG, MAX_MAPS)
  return folder
}

/** A folder with an empty map: a copy, as making one waits for the disk. */
async function seeded(pageSize: number): Promise<string> {
  const empty = templates.get(pageSize) ?? template(pageSize)
  templates.set(pageSize, empty)
  const folder = join(made, String(folders++))
  cpSync(await empty, folder, { recursive: true })
  return folder
}

/** Records as a run has them: key, value, and what fills them up to words. */
async function build(folder: string, pairs: readonly Pair[]): Promise<void> {
  const file = await TreeFile.open(folder, 'map:')
  const builder = new TreeBuilder(file.pageSize, file.transaction, file)
  for (const [key, value] of pairs) {
    const bytes = new Uint8Array((key.length + value.length + 7) & ~3)
    bytes.set(key, 4)
    bytes.set(value, 4 + key.length)
    builder.add(bytes, new Uint32Array(bytes.buffer), 4, key.length, value.length)
  }
  await file.plant(builder.finish())
  await file.close()
}

async function withTable<R>(folder: string, readonly: boolean, use: (table: LmdbTable) => R): Promise<R> {
  const env = await openEnvironment(folder, { readonly, maxMaps: MAX_MAPS })
  try {
    const table = env.table('', FIRST_MAP) as LmdbTable
    return readonly ? use(table) : env.transact(() => use(table))
  } finally {
    await env.close()
  }
}

function put(table: LmdbTable, [key, value]: Pair, options?: { append: boolean }): boolean {
  const both = Buffer.concat([key, value])
  return table.put(both, 0, key.length, key.length, value.length, options)
}

function entries(table: LmdbTable): [string, string][] {
  const found: [string, string][] = []
  const cursor = table.cursor({})
  while (cursor.next()) {
    const { key, keyLength, value, valueLength } = cursor
    found.push([hex(key.subarray(0, keyLength)), hex(value.subarray(0, valueLength))])
  }
  cursor.close()
  return found
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const asText = (pairs: readonly Pair[]) => pairs.map(([key, value]): [string, string] => [hex(key), hex(value)])

/** A node of a leaf. Where a long value lies is another matter. */
function nodeAt(data: Buffer, node: number): string {
  const value = node + 8 + data.readUInt16LE(node + 6)
  const isLong = data.readUInt16LE(node + 4) === 1
  return data.toString('hex', node, isLong ? value : value + data.readUInt32LE(node))
}

/** The leaves of the map in key order, each as its head and nodes: what stands between belongs to nobody. */
function leavesOf(folder: string, pageSize: number): string[] {
  const data = readFileSync(join(folder, 'data.mdb'))
  const metas = [0, pageSize].sort((a, b) => Number(data.readBigUInt64LE(b + 152) - data.readBigUInt64LE(a + 152)))
  const nodes = (page: number) =>
    Array.from({ length: data.readUInt16LE(page + 20) / 2 }, (_, i) => page + 24 + data.readUInt16LE(page + 24 + 2 * i))
  const names = Number(data.readBigUInt64LE((metas[0] as number) + 136)) * pageSize
  const map = nodes(names).find((node) => data.toString('latin1', node + 8, node + 12) === 'map:') as number
  const root = data.readBigUInt64LE(map + 8 + data.readUInt16LE(map + 6) + 40)
  const leaves: string[] = []
  const walk = (number: number): void => {
    const page = number * pageSize
    if (data.readUInt16LE(page + 18) === 2) {
      const pointers = data.toString('hex', page + 16, page + 24 + data.readUInt16LE(page + 20))
      leaves.push([pointers, ...nodes(page).map((node) => nodeAt(data, node))].join(' '))
    } else {
      for (const node of nodes(page)) walk(data.readUInt32LE(node) + data.readUInt16LE(node + 4) * 2 ** 32)
    }
  }
  if (root !== 2n ** 64n - 1n) walk(Number(root))
  return leaves
}

const sizes = [4096, 8192, 16384] as const
const mostKey = (pageSize: number): number => (pageSize > 4096 ? 4026 : 1978)

/** Pairs in key order, each key once. */
const somePairs = (pageSize: number) =>
  fc
    .array(
      fc.tuple(
        fc.oneof(
          { weight: 6, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 40 }) },
          { weight: 1, arbitrary: fc.uint8Array({ minLength: 1, maxLength: mostKey(pageSize), size: 'max' }) },
        ),
        fc.oneof(
          { weight: 8, arbitrary: fc.nat(200) },
          { weight: 1, arbitrary: fc.integer({ min: pageSize / 2 - 80, max: pageSize / 2 + 20 }) },
          { weight: 1, arbitrary: fc.nat(5 * pageSize) },
        ),
      ),
      { maxLength: 400, size: 'max' },
    )
    .map((list) => {
      const unique = new Map(list.map(([key, length], i) => [hex(key), [key, new Uint8Array(length).fill(i)] as Pair]))
      return [...unique.values()].sort(([a], [b]) => Buffer.compare(a, b))
    })

test('a tree that was built has what LMDB would have made of the records, leaf for leaf and byte for byte', async (t) => {
  for (const pageSize of sizes) {
    const property = fc.asyncProperty(somePairs(pageSize), async (pairs) => {
      const ours = await seeded(pageSize)
      const theirs = await seeded(pageSize)
      await build(ours, pairs)
      await withTable(theirs, false, (table) => {
        for (const pair of pairs) t.true(put(table, pair, APPEND))
      })
      const [found, stat] = await withTable(ours, true, (table) => [entries(table), table.stat()])
      t.deepEqual(found, asText(pairs))
      const expected = await withTable(theirs, true, (table) => table.stat())
      t.is(stat?.entryCount, expected?.entryCount)
      t.is(stat?.treeLeafPageCount, expected?.treeLeafPageCount)
      t.is(stat?.overflowPages, expected?.overflowPages)
      t.deepEqual(leavesOf(ours, pageSize), leavesOf(theirs, pageSize))
      for (const folder of [ours, theirs]) rmSync(folder, { recursive: true })
    })
    await fc.assert(property, { numRuns: rounds(10), endOnFailure: true })
  }
})

/** So many different keys of so many bytes. */
const longKeys = (count: number, length: number): Pair[] =>
  Array.from({ length: count }, (_, i) => {
    const key = new Uint8Array(length).fill(120)
    new DataView(key.buffer).setUint32(0, i)
    return [key, Uint8Array.of(i)]
  })

test('trees of any height and any last branch are found through, emptied and filled again by LMDB', async (t) => {
  // Keys so long that a branch has three children: five levels and more.
  for (let count = 0; count <= 60; count++) {
    const folder = await seeded(4096)
    const pairs = longKeys(count, 1978)
    await build(folder, pairs)
    const depth = await withTable(folder, true, (table) => {
      t.is(table.size, count)
      for (const [key, value] of pairs) {
        t.is(hex(table.get(key, key.length)?.subarray(0, table.valueLength) as Uint8Array), hex(value))
      }
      return table.stat()?.treeDepth as number
    })
    if (count === 60) t.true(depth >= 5)
    // LMDB ends the process where a branch has one child.
    const order = pairs.map((_, i) => i).sort((a, b) => ((a * 37) % 131) - ((b * 37) % 131))
    await withTable(folder, false, (table) => {
      for (const i of order) t.true(table.remove((pairs[i] as Pair)[0], 0, 1978))
      t.is(table.size, 0)
      for (const i of order) put(table, pairs[i] as Pair)
      t.deepEqual(entries(table), asText(pairs))
    })
    rmSync(folder, { recursive: true })
  }
})

test('LMDB changes what was built, and its pages are counted, all of them', async (t) => {
  for (const pageSize of sizes) {
    const folder = await seeded(pageSize)
    const pairs: Pair[] = Array.from({ length: 6000 }, (_, i) => [
      Buffer.from(String(i * 3).padStart(8, '0')),
      new Uint8Array(i % 200 === 0 ? 3 * pageSize : i % 90).fill(i),
    ])
    await build(folder, pairs)
    const model = new Map(asText(pairs))
    let seed = 1
    for (let round = 0; round < 4; round++) {
      await withTable(folder, false, (table) => {
        for (let i = 0; i < 4000; i++) {
          seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
          const key = Buffer.from(String(seed % 18_000).padStart(8, '0'))
          if (seed % 5 < 3) {
            const value = new Uint8Array((seed >>> 8) % 200).fill(round)
            put(table, [key, value])
            model.set(hex(key), hex(value))
          } else t.is(table.remove(key, 0, key.length), model.delete(hex(key)))
        }
      })
      t.deepEqual(
        await withTable(folder, true, entries),
        [...model].sort(([a], [b]) => (a < b ? -1 : 1)),
      )
    }
    const env = await openEnvironment(folder, { readonly: true, maxMaps: MAX_MAPS })
    const { lastPageNumber } = env.info
    t.true(env.pagesOfAll() <= lastPageNumber)
    t.true(statSync(join(folder, 'data.mdb')).size >= (lastPageNumber + 1) * pageSize)
    await env.close()
  }
})

test('a page that LMDB would not know is refused before anything is written', async (t) => {
  const folder = await seeded(4096)
  await t.throwsAsync(TreeFile.open(folder, 'map:other'), { code: 'MILL_MAP_DAMAGED' })
  await t.throwsAsync(TreeFile.open(join(folder, 'gone'), 'map:'), { code: 'MILL_STORE_IO' })
  await build(folder, [])
  t.deepEqual(await withTable(folder, true, entries), [])
})
