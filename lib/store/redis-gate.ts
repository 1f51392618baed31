import { randomBytes } from 'node:crypto'
import { sleep } from '../base/abort.js'
import { StoreError } from '../base/errors.js'
import { type RedisLink, Script } from './redis-link.js'

// A part of a map is written to only while its gate is open: a key beside it, which the script of every write looks at.
// Whoever drops a map takes away first its record, which lies on another node, then each part with its gate, in one
// command. So a write that comes too late finds no gate, asks for the record, and knows. A gate is opened by the first
// write that finds none: the map is new, or the node has lost its memory.

/** What the key of an open gate holds. */
export const OPEN = '1'
/** How long an opening may take before it has to begin anew, in milliseconds: what is left of one that broke off goes. */
const OPENING_MS = 10_000
/** How often openers may get into each other's way. */
const ATTEMPTS = 20
const LONGEST_PAUSE_MS = 64

/** Announces an opening; 1: it is open. */
const ANNOUNCE = new Script(`
if redis.call('GET', KEYS[1]) == '${OPEN}' then return 1 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 0
`)

/** Opens what was announced with this token, unless the part was dropped, or announced by another one, since. */
const FINISH = new Script(`
local found = redis.call('GET', KEYS[1])
if found == ARGV[1] then redis.call('SET', KEYS[1], '${OPEN}') end
if found == ARGV[1] or found == '${OPEN}' then return 1 end
return 0
`)

/**
 * Opens the gate of a part. The map must have its record after the announcement: a drop that takes it away later takes
 * the announcement away after that, and the opening fails.
 *
 * Rejects with `MILL_MAP_MISSING` if the map was dropped.
 */
export async function openGate(link: RedisLink, gate: string, isThere: () => Promise<boolean>): Promise<void> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const token = randomBytes(16).toString('hex')
    if ((await ANNOUNCE.run(link, [gate], [token, OPENING_MS])) === 1) return
    if (!(await isThere())) throw new StoreError('MILL_MAP_MISSING', 'The map was dropped')
    if ((await FINISH.run(link, [gate], [token])) === 1) return
    await sleep(Math.random() * Math.min(LONGEST_PAUSE_MS, 2 ** attempt))
  }
  throw new StoreError('MILL_STORE_UNAVAILABLE', 'A part of the map cannot be opened: others are at it too')
}
