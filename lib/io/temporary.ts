import { randomBytes } from 'node:crypto'
import { constants, type promises, readFileSync, readlinkSync } from 'node:fs'
import { lstat, open, readdir, unlink } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { crc32c } from '../base/crc32c.js'

/** A temporary file whose writer can't be asked is left over after this time, in milliseconds. */
const OLD = 86_400_000
/** Digits of the random part. */
const RANDOM_DIGITS = 12
/** Of a longer name only the beginning goes into the temporary one: names end at 255 bytes. */
const MOST_OF_NAME = 48

/** A file that is being written beside the one it is to become. */
export interface Temporary {
  readonly path: string
  readonly file: promises.FileHandle
}

/** 8 hex digits that tell where a process id means what it says: machine, boot, and container. */
export const hostTag: string = (() => {
  const parts = [hostname(), readOr(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8'))]
  parts.push(readOr(() => readlinkSync('/proc/self/ns/pid')))
  return crc32c(new TextEncoder().encode(parts.join('\0')))
    .toString(16)
    .padStart(8, '0')
})()

function readOr(read: () => string): string {
  try {
    return read()
  } catch {
    // Not Linux: the time limit alone decides.
    return ''
  }
}

/**
 * A new file `.<name>.<host>.<pid>.<12 hex digits>.tmp` in the folder, for its owner only. It follows no link and takes
 * no file that is there. Rejects with Node's error.
 */
export async function createTemporary(folder: string, name: string): Promise<Temporary> {
  const random = randomBytes(RANDOM_DIGITS / 2).toString('hex')
  const path = join(folder, `.${name.slice(0, MOST_OF_NAME)}.${hostTag}.${process.pid}.${random}.tmp`)
  const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | (constants.O_NOFOLLOW ?? 0)
  return { path, file: await open(path, flags, 0o600) }
}

const swept = new Map<string, Promise<void>>()

/** Removes what dead processes have left in this folder, once in the life of this process. Never rejects. */
export function sweepOnce(folder: string): Promise<void> {
  let sweeping = swept.get(folder)
  if (sweeping === undefined) {
    sweeping = sweep(folder).catch(() => {})
    swept.set(folder, sweeping)
  }
  return sweeping
}

async function sweep(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const writer = parseTemporary(name)
    if (writer === undefined) continue
    const path = join(folder, name)
    try {
      const status = await lstat(path)
      const ours = process.getuid === undefined || status.uid === process.getuid()
      const dead = writer.host === hostTag && !isAlive(writer.pid)
      if (status.isFile() && ours && (dead || Date.now() - status.mtimeMs > OLD)) await unlink(path)
    } catch {
      // Someone else was faster, or it is not ours to remove.
    }
  }
}

/** Host and process in the name of a temporary file; undefined unless it is exactly of our form. */
export function parseTemporary(name: string): { host: string; pid: number } | undefined {
  const parts = name.split('.')
  if (parts.length < 6 || parts[0] !== '' || parts.at(-1) !== 'tmp') return undefined
  const [host = '', pid = '', random = ''] = parts.slice(-4, -1)
  if (!isMadeOf(host, HEX, 8, 8) || !isMadeOf(pid, DECIMAL, 1, 10)) return undefined
  return isMadeOf(random, HEX, RANDOM_DIGITS, RANDOM_DIGITS) ? { host, pid: Number(pid) } : undefined
}

const DECIMAL = '0123456789'
const HEX = `${DECIMAL}abcdef`

function isMadeOf(text: string, digits: string, least: number, most: number): boolean {
  if (text.length < least || text.length > most) return false
  for (const digit of text) if (!digits.includes(digit)) return false
  return true
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it lives, and is another user's.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

/** Makes the names in the folder of this file survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  // Windows can't open a folder, and doesn't need this.
  if (process.platform === 'win32') return
  const folder = await open(dirname(path), constants.O_RDONLY)
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
