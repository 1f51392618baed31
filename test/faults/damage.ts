import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isMillraceError, MapBuffer } from '../../lib/mapbuffer/index.js'
import { readByMap } from '../fixtures/damage.js'
import type { Chance, Finding, Lab, Mechanic } from './lab.js'
import { type Change, type Line, makeMap } from './subjects/damaged.js'
import { Program } from './writers.js'

const READER = fileURLToPath(new URL('./subjects/damaged.js', import.meta.url))
const PAGE = 4096
/** Where a meta page says which page is the last. */
const LAST_PAGE_AT = 144
/** Entries of a MapBuffer. */
const ENTRIES = 64

type Family = (chance: Chance, sound: Buffer) => Change[]
const pageOf = (chance: Chance, sound: Buffer, from = 0): number =>
  PAGE * (from + chance.below(sound.length / PAGE - from))
const bitAt = (chance: Chance, at: number, sound: Buffer): Change[] => [
  { at, hex: Buffer.of((sound[at] as number) ^ (1 << chance.below(8))).toString('hex') },
]

/** What can be done to a file of pages. */
const FAMILIES: Record<string, Family> = {
  'a page zeroed': (chance, sound) => [{ at: pageOf(chance, sound), hex: '00'.repeat(PAGE) }],
  'a page of ff': (chance, sound) => [{ at: pageOf(chance, sound), hex: 'ff'.repeat(PAGE) }],
  'a bit in the head of a page': (chance, sound) => bitAt(chance, pageOf(chance, sound, 2) + chance.below(24), sound),
  'a bit in a meta page': (chance, sound) => bitAt(chance, PAGE * chance.below(2) + chance.below(200), sound),
  'a bit anywhere': (chance, sound) => bitAt(chance, chance.below(sound.length), sound),
  'a page over another': (chance, sound) => {
    const from = pageOf(chance, sound, 2)
    return [{ at: pageOf(chance, sound, 2), hex: sound.subarray(from, from + PAGE).toString('hex') }]
  },
  'cut short': (chance, sound) => [{ at: chance.below(sound.length), hex: '' }],
}

/**
 * Files with some of their bytes changed. What is read from a map is right, or an error; what is missing from it is found
 * by `check`. A process that reads may die of it, with pages of the inner tree, and `check` then says so.
 */
export const damage: Mechanic = {
  name: 'damage',
  needs: [],
  async run(lab) {
    await lab.case('H3, H4, H5: a map', () => damagedMaps(lab, lab.times(400, 42), true))
    await lab.control('a map without checksums', () => damagedMaps(lab, 60, false))
    const changes = lab.times(200_000)
    await lab.case('M1: a MapBuffer', async () => damagedBuffers(lab, changes, true))
    await lab.control('a MapBuffer without checksums', async () => damagedBuffers(lab, 1000, false))
  },
}

async function damagedMaps(lab: Lab, cases: number, checksum: boolean): Promise<Finding> {
  const chance = lab.chance(`damage ${checksum}`)
  const folder = lab.newFolder(false)
  await makeMap(folder, checksum)
  const file = join(folder, 'data.mdb')
  const all = readFileSync(file)
  // Behind the last page that is in use there is only room.
  const last = Math.max(...[0, PAGE].map((meta) => Number(all.readBigUInt64LE(meta + LAST_PAGE_AT))))
  const sound = all.subarray(0, (last + 1) * PAGE)
  copyFileSync(file, `${folder}.sound`)
  const names = Object.keys(FAMILIES)
  const plan = Array.from({ length: cases }, (_, i) => {
    const family = names[i % names.length] as string
    return { family, changes: (FAMILIES[family] as Family)(chance, sound) }
  })
  writeFileSync(`${folder}.plan`, JSON.stringify(plan))
  const faults: string[] = []
  const counts: Record<string, number> = {}
  for (let next = 0; next < cases; ) {
    const reader = new Program(lab, [READER, folder, `${folder}.plan`, String(next)])
    const { code, signal } = await reader.end()
    for (const text of reader.lines) {
      const line = JSON.parse(text) as Line
      next = line.number
      if (line.outcome === undefined) continue
      next++
      counts[line.outcome] = (counts[line.outcome] ?? 0) + 1
      const { family, changes } = plan[line.number] as (typeof plan)[number]
      const what = `${family} at ${changes[0]?.at}: ${line.outcome}${line.detail ? `: ${line.detail}` : ''}`
      // A copy of a page, older or of another map, is what nobody can tell from it; a damaged header may lead to one.
      const isCopy = family === 'a page over another' || (changes[0]?.at ?? 0) < 2 * PAGE
      const isSilent = line.outcome === 'unnoticed' || line.outcome === 'stale'
      if (line.outcome === 'wrong' || (isSilent && !isCopy)) faults.push(what)
    }
    if (next >= cases) break
    // It died of the one it was at: another process goes on behind that, whose check says whether it was to be known.
    if (signal === null) throw new Error(`the reader ended with ${code}: ${reader.errors}`)
    counts[signal] = (counts[signal] ?? 0) + 1
    next++
  }
  const tally = Object.entries(counts).map(([outcome, count]) => `${count} ${outcome}`)
  return { did: `${cases} files: ${tally.join(', ')}`, faults }
}

/** Up to four random bytes of a small MapBuffer, again and again: every value is one that was written, or an error. */
function damagedBuffers(lab: Lab, changes: number, crc: boolean): Finding {
  const chance = lab.chance(`buffers ${crc}`)
  const values = Array.from({ length: ENTRIES }, (_, i) => Buffer.from(`value ${i} `.repeat(1 + (i % 4))))
  const sound = MapBuffer.from(
    values.map((value, i) => [i * i * 7919 + 3, value] as const),
    { crc },
  ).toBytes()
  const written = new Set(values.map((value) => value.toString('hex')))
  const version = sound[7]
  const faults: string[] = []
  for (let i = 0; i < changes; i++) {
    const bytes = sound.slice()
    const places = Array.from({ length: 1 + chance.below(4) }, () => chance.below(bytes.length))
    for (const at of places) bytes[at] = chance.below(256)
    const { error, entries, faults: found } = readByMap(bytes, chance.below(2) === 0)
    for (const one of [error, ...found]) {
      if (one !== undefined && !isMillraceError(one)) faults.push(`bytes ${places}: ${String(one)}`)
    }
    // The version byte says whether there are checksums at all.
    if (crc && bytes[7] !== version) continue
    for (const [label, value] of entries)
      if (!written.has(value)) faults.push(`bytes ${places}: wrong value of ${label}`)
  }
  return { did: `${changes} changed files`, faults }
}
