import { setImmediate as turn } from 'node:timers/promises'
import type { TableConfig } from '../../types/store.js'
import { compareBytes } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import { FIRST_MAP, openEnvironment } from '../store/lmdb-environment.js'
import { MAP_PREFIX } from '../store/lmdb-maps.js'
import type { LmdbTable } from '../store/lmdb-table.js'
import { TreeBuilder } from '../store/tree-builder.js'
import { TreeFile } from '../store/tree-file.js'
import type { Merge } from './run-merge.js'
import type { RunReader } from './run-reader.js'

/*
 * Makes a map out of merged records, in a folder that nobody else knows of. `put` of LMDB with `append` takes 0.45 µs a
 * record besides ours, and a full disk damages its heap, so that room had to be made in front of it; here the pages are
 * filled and written in the order in which they come (measured with a million records of 116 bytes: 950 and 330 ms).
 */

/** Records and bytes between two looks at what else there is: progress, an owner that is gone. */
const MOST_RECORDS = 20_000
const MOST_BYTES = 4_194_304
/** So many records are looked up in what was made, at most. */
const MOST_SAMPLES = 128
/** Bytes of a value that are compared. Of longer ones than these the first at most: LMDB's binding copies what it finds. */
const SAMPLED = 1024
const MOST_SAMPLED = 65_536

/** Makes the map, empty, in a folder that has been seeded. */
export async function makeMap(folder: string, name: string, config: TableConfig, maxMaps: number): Promise<void> {
  const env = await openEnvironment(folder, { readonly: false, maxMaps, durable: false, expendable: true })
  try {
    env.transact(() => env.createTable(name, config))
  } finally {
    await env.close()
  }
}

/**
 * Fills the empty map, and looks up some of its records through LMDB; returns how many there are. Throws
 * `MILL_DISK_FULL`, `MILL_STORE_IO`, `MILL_DUPLICATE_KEY`.
 * @param onRecords is told how many more there are, from time to time
 */
export async function fillMap(
  folder: string,
  name: string,
  merge: Merge,
  maxMaps: number,
  onRecords: (count: number) => void,
): Promise<number> {
  const file = await TreeFile.open(folder, MAP_PREFIX + name)
  const samples = new Samples()
  let records = 0
  try {
    const builder = new TreeBuilder(file.pageSize, file.transaction, file)
    for (let more = true; more; ) {
      let count = 0
      for (let bytes = 0; count < MOST_RECORDS && bytes < MOST_BYTES; count++) {
        const run = merge.next()
        more = run !== undefined
        if (run === undefined) break
        const { keyLength, valueLength } = run
        if (builder.add(run.bytes, run.words, run.keyAt, keyLength, valueLength)) samples.see(run)
        bytes += keyLength + valueLength
      }
      records += count
      onRecords(count)
      // Whether the owner is still there shows only here, and that pages were written.
      await turn()
    }
    await file.plant(builder.finish())
  } finally {
    await file.close()
  }
  await verify(folder, name, maxMaps, records, samples)
  return records
}

/** Some of the first records of leaves, spread over all: they are found only if all branches above them are right. */
class Samples {
  #kept: { readonly key: Uint8Array; readonly value: Uint8Array; readonly valueLength: number }[] = []
  #every = 1
  #seen = 0

  see({ bytes, keyAt, valueAt, valueLength }: RunReader): void {
    if (this.#seen++ % this.#every !== 0 || (valueLength > MOST_SAMPLED && this.#seen > 1)) return
    const value = bytes.slice(valueAt, valueAt + Math.min(valueLength, SAMPLED))
    this.#kept.push({ key: bytes.slice(keyAt, valueAt), value, valueLength })
    if (this.#kept.length < MOST_SAMPLES) return
    this.#kept = this.#kept.filter((_, i) => i % 2 === 0)
    this.#every *= 2
  }

  /** Are they all there, as they came? */
  areIn(table: LmdbTable): boolean {
    return this.#kept.every(({ key, value, valueLength }) => {
      const found = table.get(key, key.length)
      if (found === undefined || table.valueLength !== valueLength) return false
      return compareBytes(found.subarray(0, value.length), value) === 0
    })
  }
}

/** What was written can be read. */
async function verify(folder: string, name: string, maxMaps: number, records: number, samples: Samples): Promise<void> {
  const env = await openEnvironment(folder, { readonly: true, maxMaps })
  let reason: string | undefined
  try {
    const table = env.table(name, FIRST_MAP)
    if (table?.size !== records) reason = `${records} records were written, ${table?.size} are there`
    else if (!samples.areIn(table)) reason = 'records that were written are not there'
  } finally {
    await env.close()
  }
  if (reason !== undefined) throw new StoreError('MILL_STORE_IO', `${folder}: ${reason}`, { path: folder, reason })
}
