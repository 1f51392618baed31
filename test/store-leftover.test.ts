import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { openCatalog } from '../lib/store/catalog.js'
import { Kit } from './fixtures/store-kit.js'

/*
 * When LMDB cannot write a meta page it writes it once more with the number and the last page that it had before, but
 * with the trees of the transaction that has failed. The other page is the one that counts, and all is well.
 */

const folder = mkdtempSync(join(tmpdir(), 'millrace-leftover-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))

const PAGE = 4096
const MAIN_ROOT_AT = 136
const LAST_PAGE_AT = 144
const TRANSACTION_AT = 152

/** Gives the meta page that does not count, of two equal ones the second, a tree that begins behind its last page. */
function failedCommit(file: string): void {
  const bytes = readFileSync(file)
  const [one, two] = [0, PAGE].map((page) => bytes.readBigUInt64LE(page + TRANSACTION_AT)) as [bigint, bigint]
  const page = two > one ? 0 : PAGE
  bytes.writeBigUInt64LE(bytes.readBigUInt64LE(page + LAST_PAGE_AT) + 1n, page + MAIN_ROOT_AT)
  writeFileSync(file, bytes)
}

test('H1: what a commit that failed leaves in the header of a map is no damage', async (t) => {
  const path = join(folder, 'map')
  for (const round of [0, 1, 2]) {
    const kit = await Kit.open(path)
    t.true(await kit.set(`k${round}`, 'x'.repeat(5000)))
    await kit.store.close()
    failedCommit(join(path, 'data.mdb'))
    const again = await Kit.open(path, { readonly: true })
    t.is(again.get(`k${round}`)?.length, 5000)
    await again.store.close()
  }
})

test('L2: what a commit that failed leaves in the header of a catalog is no damage, be it the very first', async (t) => {
  const own = join(folder, 'catalog')
  mkdirSync(own)
  const path = join(own, 'catalog.mdb')
  await (await openCatalog(path)).close()
  for (const round of [0, 1, 2]) {
    failedCommit(path)
    const catalog = await openCatalog(path)
    t.is(catalog.get(['a']), round === 0 ? undefined : `${round - 1}`)
    catalog.transact(() => catalog.put(['a'], `${round}`))
    await catalog.close()
  }
})
