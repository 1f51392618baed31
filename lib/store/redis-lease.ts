import { randomBytes } from 'node:crypto'
import type { StoreLease } from '../../types/store.js'
import { ArgumentError } from '../base/errors.js'
import { type RedisLink, Script } from './redis-link.js'

/** 1: it is ours; it may have been before, if the command comes twice. */
const TAKE = new Script(`
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
if redis.call('GET', KEYS[1]) == ARGV[1] then return 1 end
return 0
`)

const RELEASE = new Script(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`)

const RENEW = new Script(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
`)

/** Runs a call of the store: it may be closed by then. */
type Run = <T>(work: (link: RedisLink) => Promise<T>) => Promise<T>

/** A lease by time alone: a key with a token that goes by itself. Undefined: somebody has it. */
export async function takeLease(
  run: Run,
  prefix: string,
  key: Uint8Array,
  ttlMs: number,
): Promise<StoreLease | undefined> {
  if (!(Number.isFinite(ttlMs) && ttlMs > 0)) throw new ArgumentError('ttlMs', 'a number above 0', ttlMs)
  const place = `{${prefix}}lease:${Buffer.from(key).toString('hex')}`
  const token = randomBytes(16).toString('hex')
  const ms = Math.ceil(ttlMs)
  if ((await run((link) => TAKE.run(link, [place], [token, ms]))) !== 1) return undefined
  let held = true
  return {
    key: key.slice(),
    takenOver: false, // time alone decides, and leaves no trace
    renew: () =>
      run(async (link) => {
        if (held) held = (await RENEW.run(link, [place], [token, ms])) === 1
        return held
      }),
    release: () =>
      run(async (link) => {
        if (held) await RELEASE.run(link, [place], [token])
        held = false
      }),
  }
}
