import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import test from 'ava'
import { fileTag } from '../lib/store/folder-files.js'
import { DATA_FILE } from '../lib/store/look.js'
import { Place } from '../lib/store/place.js'
import { Folders } from './fixtures/store-kit.js'

/*
 * That the data file at a path is still the one that is open is asked in each transaction, and mostly answered without a
 * look at that file.
 */

const folders = new Folders()
test.after.always(() => folders.remove())

/** Longer than clocks of file systems take for a tick: from here on the time of the folder is relied on. */
const SETTLED = 100

function folderWithFile(): string {
  const path = folders.next()
  mkdirSync(path)
  writeFileSync(join(path, DATA_FILE), 'data')
  return path
}

async function settledPlace(): Promise<{ path: string; place: Place }> {
  const path = folderWithFile()
  const place = new Place(path, fileTag(path))
  await wait(SETTLED)
  for (let i = 0; i < 3; i++) if (!place.holds()) throw new Error('nothing has changed')
  return { path, place }
}

const changes: Record<string, (path: string) => void> = {
  'another file has its name': (path) => {
    writeFileSync(`${path}.new`, 'other')
    renameSync(`${path}.new`, join(path, DATA_FILE))
  },
  'the file is deleted': (path) => rmSync(join(path, DATA_FILE)),
  'the folder is deleted': (path) => rmSync(path, { recursive: true }),
  'the folder is swapped': (path) => {
    const other = folderWithFile()
    renameSync(path, `${path}.old`)
    renameSync(other, path)
  },
}

for (const [what, change] of Object.entries(changes)) {
  test(`a folder that was left alone for long: ${what}`, async (t) => {
    const { path, place } = await settledPlace()
    change(path)
    t.false(place.holds())
    t.false(place.holds())
    await wait(SETTLED)
    for (let i = 0; i < 3; i++) t.false(place.holds(), 'nor when that is long ago')
  })

  test(`a folder that has just changed: ${what}, within the same tick of the clock`, (t) => {
    for (let i = 0; i < 20; i++) {
      const path = folderWithFile()
      const place = new Place(path, fileTag(path))
      t.true(place.holds())
      t.true(place.holds())
      change(path)
      t.false(place.holds())
      t.false(place.holds())
    }
  })
}

test('other names that come and go are no change, and what comes after them is noticed', async (t) => {
  const { path, place } = await settledPlace()
  for (let i = 0; i < 20; i++) {
    writeFileSync(join(path, `other${i}`), '')
    t.true(place.holds())
  }
  await wait(SETTLED)
  t.true(place.holds())
  t.true(place.holds())
  rmSync(join(path, DATA_FILE))
  t.false(place.holds())
})

test('without a file to compare with nothing holds', (t) => {
  t.false(new Place(folders.next(), undefined).holds())
  t.false(new Place(folderWithFile(), undefined).holds())
})
