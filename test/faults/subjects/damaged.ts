/**
 * Spoils a map as it is told, reads all that is in it, mends it, and goes on with the next: `damaged.js <folder> <file of
 * the plan> <first>`. Says each number before and its outcome afterwards: what ends this process was the last it named.
 */
import { closeSync, copyFileSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { HugeMap, isMillraceError } from '../../../lib/index.js'
import { tell } from './tell.js'

/** Bytes to be written at a place; none: the file ends there. */
export interface Change {
  readonly at: number
  readonly hex: string
}

/**
 * `right`; `error`: some of it was; `stale`: a value that was written for its key, but not the last one of this map;
 * `missing`: some was, which `check` has found; `unnoticed`: which it has not.
 */
export type Outcome = 'right' | 'refused' | 'error' | 'stale' | 'missing' | 'unnoticed' | 'wrong'

export interface Line {
  readonly number: number
  readonly outcome?: Outcome
  readonly detail?: string
}

const KEYS = 220
const MAPS = ['', 'second'] as const
const keyOf = (i: number): string => `key ${String(i).padStart(4, '0')}`
/** Every tenth has pages of its own. */
const textOf = (map: string, i: number, state: number): string =>
  `state ${state} of ${map}${i} `.padEnd(i % 10 === 0 ? 3000 : 50, '.')
const LAST_STATE = 3

/** It was written for this key once, though in another state, or in the other map: its checksum covers key and value. */
const isOfKey = (i: number, value: string): boolean =>
  MAPS.some((map) => Array.from({ length: LAST_STATE + 1 }, (_, state) => textOf(map, i, state)).includes(value))

/** A map of two names with a free list: what is there has been written several times. */
export async function makeMap(folder: string, checksum: boolean): Promise<void> {
  for (const name of MAPS) {
    await using map = await HugeMap.open<string, string>(folder, { name, key: 'string', value: 'string', checksum })
    for (let state = 0; state <= LAST_STATE; state++) {
      await map.setMany(Array.from({ length: KEYS }, (_, i) => [keyOf(i), textOf(name, i, state)] as const))
    }
  }
}

async function look(folder: string): Promise<Omit<Line, 'number'>> {
  let missing = 0
  let stale = 0
  let error: string | undefined
  for (const name of MAPS) {
    try {
      await using map = await HugeMap.open<string, string>(folder, { name, readonly: true })
      for (let i = 0; i < KEYS; i++) {
        try {
          const value = map.get(keyOf(i))
          if (value === undefined) missing++
          else if (value !== textOf(name, i, LAST_STATE)) {
            if (!isOfKey(i, value)) return { outcome: 'wrong', detail: `${keyOf(i)}: ${value.slice(0, 60)}` }
            stale++
          }
        } catch (thrown) {
          if (!isMillraceError(thrown)) return { outcome: 'wrong', detail: String(thrown) }
          error = thrown.code
        }
      }
      for (const _ of map.entries()) if (error !== undefined) break
    } catch (thrown) {
      if (!isMillraceError(thrown)) return { outcome: 'wrong', detail: String(thrown) }
      if (thrown.code === 'MILL_MAP_MISSING') missing += KEYS
      else error = thrown.code
    }
  }
  if (error === 'MILL_MAP_DAMAGED') return { outcome: 'refused' }
  if (error !== undefined) return { outcome: 'error', detail: error }
  if (stale > 0) return { outcome: 'stale' }
  if (missing === 0) return { outcome: 'right' }
  const { ok } = await HugeMap.check(folder).catch(() => ({ ok: false }))
  return { outcome: ok ? 'unnoticed' : 'missing', detail: `${missing} keys` }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder = '', plan = '', first = '0'] = process.argv.slice(2)
  const cases = JSON.parse(readFileSync(plan, 'utf8')) as { changes: Change[] }[]
  const file = join(folder, 'data.mdb')
  const say = (line: Line): void => tell(JSON.stringify(line))
  for (let number = Number(first); number < cases.length; number++) {
    copyFileSync(`${folder}.sound`, file)
    say({ number })
    const descriptor = openSync(file, 'r+')
    for (const { at, hex } of cases[number]?.changes ?? []) {
      if (hex === '') ftruncateSync(descriptor, at)
      else writeSync(descriptor, Buffer.from(hex, 'hex'), 0, hex.length / 2, at)
    }
    closeSync(descriptor)
    say({ number, ...(await look(folder)) })
  }
}
