import { join } from 'node:path'
import { isMillraceError } from '../base/errors.js'
import type { HeadFields, NewShard } from './catalog.js'
import type { FileOps } from './file-ops.js'
import { parseShardName } from './shard-names.js'
import { inspectShard } from './shard-open.js'

/** A shard whose file lies in the folder. */
export interface FoundShard extends NewShard {
  readonly start: number
  readonly gen: number
}

/** What the files of a folder say when nobody else does. */
export interface Footers {
  /** Of the dataset; undefined: there is no shard that can be read. */
  readonly head: HeadFields | undefined
  /** Those that belong to it, sorted. */
  readonly shards: readonly FoundShard[]
  /** Names of shard files that are damaged, of an older generation, of another dataset, or behind the end. */
  readonly dropped: readonly string[]
  /** The highest generation in any name, of files in work too. */
  readonly lastGen: number
}

interface Candidate extends FoundShard {
  readonly name: string
  readonly head: HeadFields
}

/**
 * Reads the tables of all shard files in a folder, not their blocks. Where they are of several datasets the one with most
 * items is taken; of a shard the newest generation. Rejects where the folder can't be read.
 */
export async function readFooters(folder: string, files: FileOps): Promise<Footers> {
  const dropped: string[] = []
  const datasets = new Map<string, Candidate[]>()
  let lastGen = 0
  for (const name of await files.readdir(folder)) {
    const parsed = parseShardName(name)
    if (parsed !== undefined && parsed.gen > lastGen) lastGen = parsed.gen
    if (parsed === undefined || parsed.token !== undefined) continue
    const found = await candidateOf(folder, name, parsed.start, parsed.gen, files)
    if (found === undefined) {
      dropped.push(name)
      continue
    }
    const key = JSON.stringify(found.head)
    const list = datasets.get(key)
    if (list === undefined) datasets.set(key, [found])
    else list.push(found)
  }
  let best: Candidate[] = []
  for (const list of datasets.values()) if (itemsOf(list) > itemsOf(best) || best.length === 0) best = list
  const chosen = new Set(choose(best))
  for (const list of datasets.values()) for (const each of list) if (!chosen.has(each)) dropped.push(each.name)
  const shards = [...chosen].sort((a, b) => a.start - b.start)
  return { head: best[0]?.head, shards, dropped: dropped.sort(), lastGen }
}

async function candidateOf(
  folder: string,
  name: string,
  start: number,
  gen: number,
  files: FileOps,
): Promise<Candidate | undefined> {
  try {
    const { facts, end } = await inspectShard(files, join(folder, name), start)
    const { shardLength, ends, crc, bytes } = facts
    if (shardLength === 0 || start % shardLength !== 0) return undefined
    return { name, head: { ...facts.meta, shardLength }, start, gen, count: end.tables.count, bytes, crc, ends }
  } catch (error) {
    if (isMillraceError(error)) return undefined
    throw error
  }
}

function itemsOf(list: readonly Candidate[]): number {
  let items = 0
  for (const { count } of list) items += count
  return items
}

/** Of each shard the newest, and of those none behind the newest end. */
function choose(list: readonly Candidate[]): Candidate[] {
  const newest = new Map<number, Candidate>()
  for (const each of list) if (each.gen >= (newest.get(each.start)?.gen ?? 0)) newest.set(each.start, each)
  const all = [...newest.values()]
  let last: Candidate | undefined
  for (const each of all) if (each.ends && each.gen > (last?.gen ?? -1)) last = each
  const end = last
  if (end === undefined) return all
  // An older end before it has been outgrown, and is of no use unless the shard happens to be full.
  const isWhole = ({ ends, count, head }: Candidate): boolean => !ends || count === head.shardLength
  return all.filter((each) => each === end || (each.start < end.start && isWhole(each)))
}
