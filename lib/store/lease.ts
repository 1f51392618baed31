import { randomBytes } from 'node:crypto'
import type { LocalStore, LocalTable, StoreLease } from '../../types/store.js'
import { ArgumentError } from '../base/errors.js'
import { hostTag } from '../io/temporary.js'
import { LEASE_TABLE } from './ids.js'
import { Arena } from './operations.js'
import { copyOf } from './scan.js'

/** The table that leases are entries of, under the very keys that `lease` was given. */
export const LEASES = LEASE_TABLE

/** What is written down: who has it, and until when (milliseconds since 1970). */
interface Holder {
  readonly token: string
  readonly pid: number
  readonly host: string
  readonly until: number
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/**
 * Takes the lease on a key by a conditional write; undefined: somebody has it whose time is not over and who, if on this
 * machine, is alive. The lease of a process that died here is free at once. What somebody has is only read.
 */
export async function takeLease(
  store: LocalStore,
  leases: LocalTable,
  key: Uint8Array,
  ttlMs: number,
): Promise<StoreLease | undefined> {
  if (!(Number.isFinite(ttlMs) && ttlMs > 0)) throw new ArgumentError('ttlMs', 'a number above 0', ttlMs)
  const value = leases.get(key, key.length)
  const old = value === undefined ? null : copyOf(value, leases.valueLength)
  if (old !== null && isHeld(old)) return undefined
  const token = randomBytes(12).toString('hex')
  const lease = new Lease(store, key.slice(), token, ttlMs, old !== null)
  return (await lease.take(old)) ? lease : undefined
}

function isHeld(bytes: Uint8Array): boolean {
  let holder: Partial<Holder>
  try {
    holder = JSON.parse(decoder.decode(bytes)) as Partial<Holder>
  } catch {
    // Not ours: nobody will ever give it back.
    return false
  }
  if (typeof holder?.until !== 'number' || holder.until <= Date.now()) return false
  return holder.host !== hostTag || isAlive(holder.pid)
}

/** Is there a process of this id on this machine, whoever's it is? */
export function isAlive(pid: unknown): boolean {
  if (!Number.isSafeInteger(pid) || (pid as number) <= 0) return false
  try {
    process.kill(pid as number, 0)
    return true
  } catch (error) {
    // EPERM: it lives, and is another user's.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

class Lease implements StoreLease {
  readonly key: Uint8Array
  readonly takenOver: boolean
  readonly #store: LocalStore
  readonly #token: string
  readonly #ttlMs: number
  #value: Uint8Array | undefined

  constructor(store: LocalStore, key: Uint8Array, token: string, ttlMs: number, takenOver: boolean) {
    this.#store = store
    this.key = key
    this.#token = token
    this.#ttlMs = ttlMs
    this.takenOver = takenOver
  }

  get entry(): { readonly table: number; readonly key: Uint8Array; readonly value: Uint8Array } {
    return { table: LEASES, key: this.key, value: this.#value ?? new Uint8Array(0) }
  }

  async take(old: Uint8Array | null): Promise<boolean> {
    const holder: Holder = {
      token: this.#token,
      pid: process.pid,
      host: hostTag,
      until: Date.now() + this.#ttlMs,
    }
    const value = encoder.encode(JSON.stringify(holder))
    const arena = new Arena(512)
    arena.set(LEASES, this.key, value, { expect: old, wantsResult: true })
    const [done] = await this.#store.write(arena)
    if (done !== 1) return false
    this.#value = value
    return true
  }

  async renew(): Promise<boolean> {
    const value = this.#value
    if (value === undefined) return false
    if (await this.take(value)) return true
    this.#value = undefined
    return false
  }

  async release(): Promise<void> {
    const value = this.#value
    this.#value = undefined
    if (value === undefined) return
    const arena = new Arena(512)
    arena.delete(LEASES, this.key, { expect: value })
    await this.#store.write(arena)
  }
}
