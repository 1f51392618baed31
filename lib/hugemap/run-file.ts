import { randomBytes } from 'node:crypto'
import { closeSync, constants, openSync, readSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { StoreError } from '../base/errors.js'
import { hostTag } from '../io/temporary.js'
import { storeFault } from '../store/look.js'
import type { ReadAt } from './run-reader.js'

/** Bytes one call writes at most. */
const MOST_AT_ONCE = 1_048_576

/**
 * Runs that did not fit into memory, one behind the other. The file's name is gone as soon as it is made, so that not even
 * a kill leaves it (on Windows, where that can't be, the next user of the folder removes what a killed one has left).
 */
export class RunFile {
  /** Bytes written. */
  size = 0
  readonly #folder: string
  readonly #path: string
  readonly #unlinked: boolean
  #file: number | undefined

  /** Throws `MILL_DISK_FULL`, `MILL_STORE_IO`. */
  constructor(folder: string) {
    const random = randomBytes(6).toString('hex')
    this.#folder = folder
    this.#path = join(folder, `.load.${hostTag}.${process.pid}.${random}.tmp`)
    const flags = constants.O_CREAT | constants.O_EXCL | constants.O_RDWR | (constants.O_NOFOLLOW ?? 0)
    try {
      this.#file = openSync(this.#path, flags, 0o600)
    } catch (error) {
      throw storeFault(folder, error)
    }
    this.#unlinked = this.#unlink()
  }

  /** Appends the bytes and returns where they begin. Throws `MILL_DISK_FULL`, `MILL_STORE_IO`. */
  write(bytes: Uint8Array): number {
    const from = this.size
    try {
      // A short count means that the rest failed, and only the next call says why.
      for (let at = 0; at < bytes.length; ) {
        const length = Math.min(MOST_AT_ONCE, bytes.length - at)
        const count = writeSync(this.#file as number, bytes, at, length, from + at)
        if (count === 0) throw new Error('nothing was written')
        at += count
      }
    } catch (error) {
      throw storeFault(this.#folder, error)
    }
    this.size = from + bytes.length
    return from
  }

  readonly read: ReadAt = (target, at, length, position) => {
    try {
      for (let done = 0; done < length; ) {
        const count = readSync(this.#file as number, target, at + done, length - done, position + done)
        if (count === 0) throw new StoreError('MILL_STORE_IO', 'a spilled run is cut short', { path: this.#folder })
        done += count
      }
    } catch (error) {
      throw storeFault(this.#folder, error)
    }
  }

  /** Idempotent. */
  close(): void {
    if (this.#file === undefined) return
    closeSync(this.#file)
    this.#file = undefined
    if (!this.#unlinked) this.#unlink()
  }

  #unlink(): boolean {
    try {
      unlinkSync(this.#path)
      return true
    } catch {
      // Windows: it is open.
      return false
    }
  }
}
