import { type Stats, statSync } from 'node:fs'
import { fileTag } from './folder-files.js'

/** Clocks of file systems tick every 10 ms or more often, in milliseconds, with room to spare. */
const TICK = 50
/** Those that count whole seconds tick every second or two. */
const LONG_TICK = 3000

/**
 * Tells whether the data file that is open is still the one at its path; asked in each write transaction. A look at the
 * file itself is dear: Linux (6.13 and later) then gives the next write to it a time of its own, which has to be written
 * too; measured, 50 µs more with each commit. So it is the folder that is looked at: its time changes with every name
 * that comes or goes in it. Only where it has changed, or has changed so recently that its time may not show another
 * change, the file is.
 */
export class Place {
  readonly #path: string
  readonly #tag: string | undefined
  /** The folder as it was when the file was there; undefined: its time could not be relied on. */
  #seen: Stats | undefined

  /**
   * @param path the folder
   * @param tag of the file that is open, see {@link fileTag}
   */
  constructor(path: string, tag: string | undefined) {
    this.#path = path
    this.#tag = tag
  }

  /** False: it was replaced or deleted, or its folder was. */
  holds(): boolean {
    // Before the file: what changes between the two shows the next time.
    const folder = statSync(this.#path, { throwIfNoEntry: false })
    if (folder !== undefined && isSame(folder, this.#seen)) return true
    const holds = this.#tag !== undefined && fileTag(this.#path) === this.#tag
    // Where it does not hold there is nothing to rely on the next time.
    this.#seen = holds && folder !== undefined && isSettled(folder.ctimeMs) ? folder : undefined
    return holds
  }
}

function isSame(one: Stats, other: Stats | undefined): boolean {
  return other !== undefined && one.ctimeMs === other.ctimeMs && one.ino === other.ino && one.dev === other.dev
}

/** Is it so long ago that a change from now on has another time? */
function isSettled(changed: number): boolean {
  return Date.now() - changed > (changed % 1000 === 0 ? LONG_TICK : TICK)
}
