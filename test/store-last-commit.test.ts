import { execFile } from 'node:child_process'
import { readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { filesAt, settleLastCommit } from '../lib/store/last-commit.js'
import { closeRaw, openRaw } from '../lib/store/lmdb.js'
import { RAW_OPTIONS } from '../lib/store/lmdb-codec.js'
import { Folders, Kit } from './fixtures/store-kit.js'

/*
 * What an opener does about a commit that its opening has hidden. With openers that really do: test/catalog.
 */

const child = fileURLToPath(new URL('./fixtures/catalog-child.js', import.meta.url))
const putBack = (path: string) =>
  promisify(execFile)(process.execPath, [child, 'put-back', join(path, 'lock.mdb'), '1'])
const folders = new Folders()
test.after.always(() => folders.remove())

async function made(commits: number): Promise<string> {
  const path = folders.next()
  await using kit = await Kit.open(path)
  for (let i = 0; i < commits; i++) await kit.set('a', `${i}`)
  return path
}

const open = (path: string) =>
  openRaw(path, { readonly: true, pageSize: 4096, maxDatabases: 8, durable: true, ...RAW_OPTIONS })
const files = (path: string) => filesAt(join(path, 'data.mdb'), join(path, 'lock.mdb'))
/** The id of the last commit, as readers are told. Closes the file, and with it the locks of this process: at the end only. */
const lastCommit = (path: string): bigint => readFileSync(join(path, 'lock.mdb')).readBigUInt64LE(8)

test('a reader puts back what is hidden', async (t) => {
  const path = await made(10)
  const raw = await open(path)
  const last = raw.env.info().lastTxnId
  await putBack(path)
  await settleLastCommit(raw, files(path), true)
  await closeRaw(raw)
  t.is(lastCommit(path), BigInt(last))
})

test('a folder that was put in the place of the one that was opened is left alone', async (t) => {
  const [path, other] = [await made(10), await made(3)]
  const opened = files(path)
  const raw = await open(path)
  await putBack(path)
  const before = lastCommit(other)
  renameSync(path, `${path}-before`)
  renameSync(other, path)
  await settleLastCommit(raw, opened, true)
  await closeRaw(raw)
  t.is(lastCommit(path), before)
})
