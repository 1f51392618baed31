import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { isMillraceError } from '../lib/base/errors.js'
import { openFolder } from '../lib/store/folder.js'
import { Arena } from '../lib/store/operations.js'
import type { LocalTable } from '../types/store.js'
import { storeCompliance } from './compliance/store.js'
import { lmdb, memory } from './fixtures/store-engines.js'

const folder = mkdtempSync(join(tmpdir(), 'millrace-store-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))

storeCompliance(test.serial, memory)
storeCompliance(test.serial, lmdb(folder, 'process', 4096))
storeCompliance(test.serial, lmdb(folder, 'process', 8192))

test.serial('lmdb inline: the same suite, in the main thread of a process of its own', async (t) => {
  t.timeout(120_000)
  const program = fileURLToPath(new URL('./fixtures/store-inline.js', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [program, join(folder, 'inline')], {
    timeout: 110_000,
  })
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { title?: string; fault?: string; count?: number })
  const count = lines.pop()?.count ?? 0
  t.true(count >= 30)
  t.is(lines.length, count)
  t.deepEqual(
    lines.flatMap(({ title, fault }) => (fault === undefined ? [] : [`${title}: ${fault}`])),
    [],
  )
})

test.serial('a map that another process drops, and makes anew', async (t) => {
  t.timeout(60_000)
  const path = join(folder, 'dropped')
  const config = { key: 'any', value: 'bytes', compress: 'none', checksum: false }
  const store = await openFolder(path)
  t.teardown(() => store.close())
  const table = (await store.table('a', config)) as LocalTable
  const key = Uint8Array.of(1)
  const write = async (value: number): Promise<void> => {
    const arena = new Arena()
    arena.set(table.id, key, Uint8Array.of(value))
    await store.write(arena)
  }
  const program = fileURLToPath(new URL('./fixtures/store-drop.js', import.meta.url))
  const elsewhere = (...args: string[]) =>
    promisify(execFile)(process.execPath, [program, path, ...args], { timeout: 30_000 })
  const sees = (): number | undefined => {
    store.refresh()
    return table.get(key, 1)?.[0]
  }
  for (let i = 0; i < 500; i++) {
    const arena = new Arena()
    arena.set(table.id, Uint8Array.of(9, i >> 8, i & 255), new Uint8Array(100))
    if (i % 100 === 99) await store.write(arena)
  }
  await write(1)
  t.is(sees(), 1)
  await elsewhere('a')
  t.is(sees(), undefined)
  t.is(table.size, 0)
  t.is(table.countSync({}), 0)
  t.false(table.cursor({}).next())
  const lost = await t.throwsAsync(write(2))
  t.true(isMillraceError(lost, 'MILL_MAP_MISSING'), String(lost))
  await elsewhere('a', JSON.stringify(config))
  t.is(sees(), undefined)
  await write(3)
  t.is(sees(), 3)
  t.is(table.size, 1)
  await elsewhere('a', JSON.stringify({ ...config, key: 'u64' }))
  const other = await t.throwsAsync(write(4))
  t.true(isMillraceError(other, 'MILL_MAP_MISSING'), String(other))
})

test.serial('one process opens a folder one way: MILL_MAP_IN_USE, and who has it open goes on', async (t) => {
  t.timeout(60_000)
  const path = join(folder, 'ways')
  const config = { key: 'any', value: 'bytes', compress: 'none', checksum: false }
  {
    await using store = await openFolder(path)
    const { id } = (await store.table('', config)) as LocalTable
    const arena = new Arena()
    arena.set(id, Uint8Array.of(1), Uint8Array.of(7))
    await store.write(arena)
  }
  const program = fileURLToPath(new URL('./fixtures/store-ways.js', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [program, path], { timeout: 30_000 })
  t.deepEqual(JSON.parse(stdout), {
    'readonly readonly': 'both',
    'readonly process': 'both',
    'readonly inline': 'MILL_MAP_IN_USE',
    'process readonly': 'both',
    'process process': 'both',
    'process inline': 'MILL_MAP_IN_USE',
    'inline readonly': 'MILL_MAP_IN_USE',
    'inline process': 'MILL_MAP_IN_USE',
    'inline inline': 'both',
    thread: '7',
    'beside a thread': '7',
    'after its end': '7',
  })
})

test.serial('lmdb inline: refused outside the main thread, which ava’s threads are', async (t) => {
  const error = await t.throwsAsync(openFolder(join(folder, 'refused'), { writer: 'inline' }))
  t.true(isMillraceError(error, 'MILL_INVALID_ARGUMENT'))
})
