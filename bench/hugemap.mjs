// Keys, values, folders and peers of the cases hugemap-…: what nobody makes on the clock.
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { body } from './data.mjs'
import { distUrl } from './lib.mjs'

/** The very lmdb that the library uses, raw. */
export const { open: openRaw } = await import(createRequire(distUrl).resolve('lmdb'))
/** What the library opens it with: its defaults lose acknowledged data, see docs/hugemap-durability.md. */
export const RAW = { overlappingSync: false, eventTurnBatching: false, noSubdir: false, pageSize: 4096, maxDbs: 4 }

/** A folder for a case, gone when its process ends. */
export function workFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** @param {number} index @returns {number} below 2^32, another one for each index below 2^32, in no order */
export const mix = (index) => {
  let mixed = Math.imul(index ^ (index >>> 16), 0x21f0aaad)
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
  return (mixed ^ (mixed >>> 15)) >>> 0
}

/** Keys of 16 characters, all different, in no order. @param {number} count */
export const someKeys = (count) =>
  Array.from({ length: count }, (_, i) => mix(i).toString(16).padStart(8, '0') + mix(~i).toString(16).padStart(8, '0'))

/** Text of so many characters that belongs to a number. @param {number} index @param {number} length */
export const text = (index, length) => body(mix(index) % 61, length).toString('latin1')

/** An object of ten fields. @param {number} index */
export const record = (index) => ({
  id: index,
  name: text(index, 12),
  city: text(index + 1, 9),
  active: index % 2 === 0,
  score: index / 7,
  tags: ['alpha', 'beta'],
  created: 1_700_000_000_000 + index,
  parent: null,
  depth: index % 9,
  note: text(index + 2, 30),
})

/** @param {number} count @param {string[]} keys @returns {string[]} questions in no order, all of which are answered */
export const asked = (count, keys) => Array.from({ length: count }, (_, i) => keys[mix(i * 7 + 3) % keys.length])

/** In arrays, as streams of batches carry them. @template T @param {T[]} all @param {number} size @returns {T[][]} */
export function inBatches(all, size) {
  const batches = []
  for (let at = 0; at < all.length; at += size) batches.push(all.slice(at, at + size))
  return batches
}
