import { randomBytes } from 'node:crypto'
import type { StoreLease } from '../../types/store.js'
import { ArgumentError } from '../base/errors.js'
import { type RedisClient, Script } from './redis-client.js'

const RELEASE = new Script(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`)

const RENEW = new Script(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
`)

/** Runs a call of the store: it may be closed by then. */
type Run = <T>(work: (client: RedisClient) => Promise<T>) => Promise<T>

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
  const taken = await run((client) => client.callBuffer('SET', place, token, 'NX', 'PX', ms))
  if (taken === null) return undefined
  let held = true
  return {
    key: key.slice(),
    takenOver: false, // time alone decides, and leaves no trace
    renew: () =>
      run(async (client) => {
        if (held) held = (await RENEW.run(client, [place], [token, ms])) === 1
        return held
      }),
    release: () =>
      run(async (client) => {
        if (held) await RELEASE.run(client, [place], [token])
        held = false
      }),
  }
}
