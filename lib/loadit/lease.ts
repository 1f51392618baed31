import { hostTag } from '../io/temporary.js'

/** Who works on a shard, as it stands in the catalog. */
export interface LeaseRecord {
  readonly token: string
  readonly pid: number
  /** Where that process id means something. */
  readonly host: string
  /** Milliseconds since 1970 when it ends, unless it is renewed. */
  readonly until: number
  /** Of the shard that is made under it. */
  readonly gen: number
}

/** What a process calls itself in leases. */
export interface Identity {
  readonly pid: number
  readonly host: string
}

/** This process: its id, and a tag of machine, boot and pid namespace. */
export function me(): Identity {
  return { pid: process.pid, host: hostTag }
}

/** Nobody works under it any more: its time is up, or its process is gone, which shows at once on its own machine. */
export function isDead(lease: LeaseRecord, now: number, host: string): boolean {
  return lease.until <= now || isOrphan(lease, host)
}

/** Its process is certainly gone. */
export function isOrphan(lease: LeaseRecord, host: string): boolean {
  if (lease.host !== host) return false
  try {
    process.kill(lease.pid, 0)
    return false
  } catch (error) {
    // EPERM: it lives, and is another user's.
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}
