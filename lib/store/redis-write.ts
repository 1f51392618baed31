import { randomBytes } from 'node:crypto'
import { isMillraceError, StoreError } from '../base/errors.js'
import { ABSENT, CLEAR, CONDITION, DELETE, GROUP, OperationCursor, SET, WANTS_RESULT } from './operations.js'
import { storeFailure, wordOf } from './redis-client.js'
import { OPEN, openGate } from './redis-gate.js'
import { type PartKeys, partOf } from './redis-layout.js'
import { type RedisLink, Script, type Word } from './redis-link.js'
import type { RedisTable } from './redis-table.js'

/** Operations and bytes that one call of the script gets: what a node does without looking at anybody else. */
const MOST_OPERATIONS = 1000
const MOST_BYTES = 2 ** 20
/** How long replicas may take, in milliseconds. */
const REPLICAS_MS = 5000

/**
 * How long a part remembers the last call of a client, in milliseconds: longer than a call can be under way. A system
 * goes on sending what is on its way for one to two minutes after its connection was given up.
 */
const REMEMBERED_MS = 300_000

/**
 * The number of the call, then four words an operation: kind and condition, key, value, expected value. Of a group the
 * second word says how many operations belong to it. Returns a `1` or `0` for each operation, or group, that stands alone;
 * false, and nothing is done, if the gate of the part is not open.
 *
 * A connection may be cut between a call and its answer, and the client then calls again: what is done is not done twice,
 * but answered as it was. And what its caller has given up must not be done after what came later.
 */
const APPLY = new Script(`
if redis.call('GET', KEYS[3]) ~= '${OPEN}' then return false end
local number = tonumber(ARGV[1])
local last = redis.call('GET', KEYS[4])
if last then
  local colon = string.find(last, ':')
  local before = tonumber(string.sub(last, 1, colon - 1))
  if before == number then return string.sub(last, colon + 1) end
  if before > number then return redis.error_reply('LATE the caller has gone on') end
end
local hash, order = KEYS[1], KEYS[2]
local function holds(at)
  local condition = string.sub(ARGV[at], 2, 2)
  if condition == '0' then return true end
  local value = redis.call('HGET', hash, ARGV[at + 1])
  if condition == '2' then return value == false end
  return value == ARGV[at + 3]
end
local function apply(at)
  local kind = string.sub(ARGV[at], 1, 1)
  if kind == 'S' then
    redis.call('HSET', hash, ARGV[at + 1], ARGV[at + 2])
    redis.call('ZADD', order, 0, ARGV[at + 1])
  elseif kind == 'D' then
    if redis.call('HDEL', hash, ARGV[at + 1]) == 0 then return 0 end
    redis.call('ZREM', order, ARGV[at + 1])
  elseif kind == 'C' then redis.call('UNLINK', hash, order) end
  return 1
end
local results = {}
local at = 2
while at <= #ARGV do
  local done = 1
  if string.sub(ARGV[at], 1, 1) == 'G' then
    local last = at + 4 * tonumber(ARGV[at + 1])
    for i = at + 4, last, 4 do if not holds(i) then done = 0 end end
    if done == 1 then for i = at + 4, last, 4 do apply(i) end end
    at = last
  elseif holds(at) then done = apply(at)
  else done = 0 end
  results[#results + 1] = done
  at = at + 4
end
local answer = table.concat(results)
redis.call('SET', KEYS[4], ARGV[1] .. ':' .. answer, 'PX', ${REMEMBERED_MS})
return answer
`)
const YES = 0x31

/** What one part is to do. */
interface PartWork {
  readonly table: RedisTable
  readonly keys: PartKeys
  readonly calls: Call[]
}

/** What goes to a part at once, and where its results belong; -1: nobody asked. */
interface Call {
  readonly words: Word[]
  readonly places: number[]
  bytes: number
}

/** Applies operations, part by part; writes to one part happen in the order of the calls, each once. */
export class RedisWriter {
  readonly #link: RedisLink
  readonly #replicas: number
  /** The last write of each part that is under way. */
  readonly #last = new Map<string, Promise<unknown>>()
  /** Who we are to the parts, and how often we called. */
  readonly #id = randomBytes(8).toString('hex')
  #calls = 0

  constructor(link: RedisLink, replicas: number) {
    this.#link = link
    this.#replicas = replicas
  }

  /** One byte for each operation that wants one. Throws `MILL_UNSUPPORTED` before anything is sent. */
  async write(bytes: Uint8Array, tableOf: (id: number) => RedisTable): Promise<Uint8Array> {
    const plan = new Plan(tableOf)
    const wanted = plan.read(bytes)
    const results = new Uint8Array(wanted).fill(1)
    const all = [...plan.parts.values()].map((part) => this.#inTurn(part, results))
    const ends = await Promise.allSettled(all)
    const failed = ends.find((end) => end.status === 'rejected')
    if (failed?.status === 'rejected') throw storeFailure(failed.reason, true)
    return results
  }

  async #inTurn({ table, keys, calls }: PartWork, results: Uint8Array): Promise<void> {
    const [place] = keys
    const before = this.#last.get(place)
    const mine = (async () => {
      await before?.catch(throwIfAway)
      for (const { words, places } of calls) {
        const done = await this.#apply(table, keys, words)
        for (const [i, at] of places.entries()) {
          // Of what is done in every part, `clear`, all must have been.
          if (at >= 0 && done[i] !== YES) results[at] = 0
        }
      }
    })()
    this.#last.set(place, mine)
    try {
      await mine
    } finally {
      if (this.#last.get(place) === mine) this.#last.delete(place)
    }
  }

  async #apply(table: RedisTable, keys: PartKeys, words: readonly Word[]): Promise<Uint8Array> {
    const [, , gate] = keys
    const own = [...keys, `${gate}:${this.#id}`]
    const numbered = [++this.#calls, ...words]
    for (;;) {
      const done = await this.#ask(own, numbered)
      if (done !== null) return done
      await openGate(this.#link, gate, () => table.isThere())
    }
  }

  /** Null: the gate is not open. */
  async #ask(keys: readonly string[], words: readonly Word[]): Promise<Uint8Array | null> {
    if (this.#replicas === 0) return (await APPLY.run(this.#link, keys, words)) as Uint8Array | null
    const commands = [APPLY.command(keys, words), ['wait', this.#replicas, REPLICAS_MS]]
    const [done, waited] = (await this.#link.exec(commands)) as [string | null, number]
    if (done === null) return null
    if (waited < this.#replicas) {
      const message = `Only ${waited} of ${this.#replicas} replicas have it after ${REPLICAS_MS} ms`
      throw new StoreError('MILL_STORE_UNAVAILABLE', `${message}; it is written on the node itself`)
    }
    return Buffer.from(done, 'latin1')
  }
}

/** Whoever waited behind a write that found nobody need not find out alone: all that waits ends at once. */
function throwIfAway(error: unknown): void {
  // What we said ourselves, of a dropped map or of replicas, is for that caller alone.
  if (!isMillraceError(error) && isMillraceError(storeFailure(error), 'MILL_STORE_UNAVAILABLE')) throw error
}

/** Sorts operations by the part they belong to. */
class Plan {
  readonly parts = new Map<string, PartWork>()
  readonly #tableOf: (id: number) => RedisTable

  constructor(tableOf: (id: number) => RedisTable) {
    this.#tableOf = tableOf
  }

  /** How many results are wanted. */
  read(bytes: Uint8Array): number {
    const cursor = new OperationCursor(bytes)
    let wanted = 0
    while (cursor.next()) {
      const place = (cursor.flags & WANTS_RESULT) !== 0 ? wanted++ : -1
      if (cursor.kind === GROUP) this.#group(cursor, place)
      else if (cursor.kind === CLEAR) this.#everywhere(cursor, place)
      else {
        const table = this.#tableOf(cursor.table)
        this.#add(table, partOf(table.map, keyOf(cursor)), wordsOf(cursor), place)
      }
    }
    return wanted
  }

  #group(group: OperationCursor, place: number): void {
    const from = group.end
    const to = from + group.expectLength
    group.skipGroup()
    const inside = new OperationCursor(group.bytes, from, to)
    const words: Word[] = []
    let home: { readonly table: RedisTable; readonly part: number } | undefined
    while (inside.next()) {
      const table = this.#tableOf(inside.table)
      const part = inside.kind === CLEAR ? -1 : partOf(table.map, keyOf(inside))
      home ??= { table, part }
      if (part < 0 || home.table !== table || home.part !== part) {
        const message = 'A batch over several parts of a cluster cannot be all or nothing; see partitionBy'
        throw new StoreError('MILL_UNSUPPORTED', message)
      }
      words.push(...wordsOf(inside))
    }
    if (home !== undefined) this.#add(home.table, home.part, ['G', words.length / 4, '', '', ...words], place)
  }

  #everywhere(cursor: OperationCursor, place: number): void {
    const table = this.#tableOf(cursor.table)
    for (let part = 0; part < table.map.partitions; part++) this.#add(table, part, wordsOf(cursor), place)
  }

  #add(table: RedisTable, part: number, words: readonly Word[], place: number): void {
    const keys = table.keysOf(part)
    let work = this.parts.get(keys[0])
    if (work === undefined) {
      work = { table, keys, calls: [] }
      this.parts.set(keys[0], work)
    }
    let call = work.calls.at(-1)
    if (call === undefined || call.places.length >= MOST_OPERATIONS || call.bytes >= MOST_BYTES) {
      call = { words: [], places: [], bytes: 0 }
      work.calls.push(call)
    }
    for (const word of words) {
      call.words.push(word)
      if (typeof word !== 'number') call.bytes += word.length
    }
    call.places.push(place)
  }
}

function keyOf({ bytes, keyAt, keyLength }: OperationCursor): Uint8Array {
  return bytes.subarray(keyAt, keyAt + keyLength)
}

function wordsOf(o: OperationCursor): Word[] {
  const kind = o.kind === SET ? 'S' : o.kind === DELETE ? 'D' : o.kind === CLEAR ? 'C' : 'R'
  const condition = (o.flags & CONDITION) === 0 ? 0 : (o.flags & ABSENT) !== 0 ? 2 : 1
  return [
    `${kind}${condition}`,
    wordOf(o.bytes, o.keyAt, o.keyLength),
    wordOf(o.bytes, o.valueAt, o.valueLength),
    wordOf(o.bytes, o.expectAt, o.expectLength),
  ]
}
