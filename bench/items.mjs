// 100,000 items of about 1 KB, what LoadIt makes of them, and what a few lines of plain JavaScript do: frames of the same
// msgpackr in plain files, offsets in memory.
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LoadIt, ofLibrary } from './lib.mjs'

export const COUNT = 100_000
export const SHARD = 4096
const MIB = 2 ** 20

const { Packr } = ofLibrary('msgpackr')
const words = 'stone water wheel grain flour sack barrow lantern miller ferry weir sluice pond mill race'.split(' ')

/** @typedef {{ id: number, url: string, text: string, lang: string, n: number }} Item */

/** @param {number} id @returns {Item} */
export function item(id) {
  let text = ''
  for (let i = 0; text.length < 850; i++) text += `${words[(id * 7 + i * (1 + (id % 11))) % words.length]} `
  return { id, url: `https://example.org/pages/${id}`, text, lang: id % 3 === 0 ? 'en' : 'de', n: id * 0.5 }
}

/** All of them, made anew: no race measures how fast they are made, but the first pass. */
export function* items() {
  for (let id = 0; id < COUNT; id++) yield item(id)
}

/** @type {string[]} */
const folders = []
process.once('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** A folder that goes with the process. */
export function scratch() {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'))
  folders.push(folder)
  return folder
}

/** @param {string} root @param {object} [options] */
export const openItems = (root, options) =>
  LoadIt.open({ root, source: items, maxShardLength: SHARD, verify: 'off', ...options })

/** Places in no order, all different runs the same. @param {number} count @param {number} below */
export function places(count, below = COUNT) {
  let state = 7
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  })
}

/** What a run of reads hands back. */
export class Tally {
  count = 0
  total = 0
  /** @type {Item | undefined} */
  last = undefined

  /** @param {Item | undefined} one */
  add(one) {
    this.count++
    this.total += one?.id ?? 0
    this.last = one
  }

  get result() {
    return { count: this.count, total: this.total, last: JSON.stringify(this.last) }
  }
}

/** The same in plain files, one for each shard, kept open. */
export class PlainFiles {
  /** @type {number[]} */
  fds = []
  offsets = new Float64Array(COUNT + 1)
  bytes = 0
  packr = new Packr({ structuredClone: true, moreTypes: true, copyBuffers: true, structures: [] })
  buffer = Buffer.alloc(8 * MIB)

  /** @param {string} folder @param {Iterable<Item>} all */
  write(folder, all) {
    const buffer = Buffer.alloc(MIB)
    let used = 0
    let at = 0
    let index = 0
    let fd = -1
    for (const one of all) {
      if (index % SHARD === 0) {
        if (used > 0) writeSync(fd, buffer, 0, used)
        used = 0
        at = 0
        fd = openSync(join(folder, `${index}.plain`), 'w+')
        this.fds.push(fd)
      }
      const frame = this.packr.pack(one)
      if (used + frame.length > buffer.length) {
        writeSync(fd, buffer, 0, used)
        used = 0
      }
      buffer.set(frame, used)
      used += frame.length
      this.offsets[index++] = at
      at += frame.length
      this.bytes += frame.length
    }
    writeSync(fd, buffer, 0, used)
    this.end = at
    return this
  }

  /** Where an item ends in its file. @param {number} index */
  endOf(index) {
    return index + 1 === COUNT ? this.end : (index + 1) % SHARD === 0 ? undefined : this.offsets[index + 1]
  }

  /** Where the item that is the last of its file ends is not kept: its file's end is. @param {number} index */
  read(index) {
    const from = this.offsets[index]
    const to = this.endOf(index)
    const length = to === undefined ? 2048 : to - from
    const read = readSync(this.fds[Math.floor(index / SHARD)], this.buffer, 0, length, from)
    return this.packr.unpack(this.buffer.subarray(0, read))
  }

  /** All items of the shard of one, for that one. @param {number} index */
  whole(index) {
    const first = index - (index % SHARD)
    const last = Math.min(COUNT, first + SHARD)
    const size = readSync(this.fds[first / SHARD], this.buffer, 0, this.buffer.length, 0)
    /** @type {Item[]} */
    const all = []
    for (let i = first; i < last; i++) {
      const to = this.endOf(i) ?? size
      all.push(this.packr.unpack(this.buffer.subarray(this.offsets[i], to)))
    }
    return all[index - first]
  }

  close() {
    for (const fd of this.fds) closeSync(fd)
  }
}

/** Which shard an item is in, and where. @param {number} index */
export const ofShard = (index) => ({ shard: Math.floor(index / SHARD), i: index % SHARD })
