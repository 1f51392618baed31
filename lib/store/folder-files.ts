import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, openSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { hostTag } from '../io/temporary.js'
import { isAlive } from './lease.js'
import { DATA_FILE } from './look.js'

/** What folders beside a map's are for: a bulk load, a smaller copy, the one that was replaced, a backup that is made. */
export type AsideKind = 'load' | 'compact' | 'old' | 'backup'
const KINDS: readonly string[] = ['load', 'compact', 'old', 'backup'] satisfies AsideKind[]

/** Digits of the random part. */
const RANDOM_DIGITS = 12

/** Tells files apart. */
export const tagOf = ({ dev, ino }: { readonly dev: bigint; readonly ino: bigint }): string => `${dev}:${ino}`

/** Tells one data file from another at the same path; undefined where there is none. */
export function fileTag(path: string): string | undefined {
  try {
    return tagOf(statSync(join(path, DATA_FILE), { bigint: true }))
  } catch {
    // Not there, or out of reach: not the file that is open, in any case.
    return undefined
  }
}

/** A new name beside `path`, `<path>.<kind>-<host>-<pid>-<12 hex digits>`, that {@link sweepAside} knows. */
export function asideName(path: string, kind: AsideKind): string {
  return `${path}.${kind}-${hostTag}-${process.pid}-${randomBytes(RANDOM_DIGITS / 2).toString('hex')}`
}

/** A folder beside a map's. */
interface Aside {
  readonly path: string
  readonly kind: AsideKind
  /** Who made it lives, as far as one can tell. */
  readonly alive: boolean
}

function asides(path: string): Aside[] {
  const folder = dirname(path)
  const start = `${basename(path)}.`
  const found: Aside[] = []
  for (const name of readdirSync(folder)) {
    if (!name.startsWith(start)) continue
    const [kind = '', host, pid = '', random = '', ...more] = name.slice(start.length).split('-')
    if (!KINDS.includes(kind) || random.length !== RANDOM_DIGITS || more.length > 0 || !(Number(pid) > 0)) continue
    const alive = host !== hostTag || isAlive(Number(pid))
    found.push({ path: join(folder, name), kind: kind as AsideKind, alive })
  }
  return found
}

/**
 * Removes what dead processes of this machine have left beside `path`, and puts the folder back where one died just
 * after it had moved it away. What can't be removed stays. Never throws.
 */
export function sweepAside(path: string): void {
  try {
    recoverAside(path)
    // Without the folder it may be all there is.
    const there = existsSync(path)
    for (const { path: aside, kind, alive } of asides(path)) {
      if (!alive && (there || kind !== 'old')) rmSync(aside, { recursive: true, force: true })
    }
  } catch {
    // Not ours to remove.
  }
}

/**
 * To be asked before a folder that is missing is made: it may have been moved away by a swap that died before the new
 * one had its name, and is put back then. True: a swap is at work at this moment, look again.
 */
export function recoverAside(path: string): boolean {
  if (existsSync(path) || !existsSync(dirname(path))) return false
  const old = asides(path).filter(({ kind }) => kind === 'old')
  if (old.some(({ alive }) => alive)) return true
  const [last] = old
  if (last !== undefined) renameSync(last.path, path)
  return false
}

/** The folder's entries survive a power cut. */
export function syncFolderSync(folder: string): void {
  // Windows can't open a folder, and doesn't need this.
  if (process.platform === 'win32') return
  syncFileSync(folder)
}

/** What was written to the file survives a power cut. */
export function syncFileSync(path: string): void {
  const file = openSync(path, 'r')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}
