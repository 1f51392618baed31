// For the pools: functions of one task, found by their names.
import * as work from './work.mjs'

/** @typedef {{ out: any, start: number, end: number }} Task */

export function nothing() {}

/** @param {Task} task */
export function squares({ out, start, end }) {
  work.squares(out, start, end)
}

/** @param {Task} task */
export function scramble({ out, start, end }) {
  work.scramble(out, start, end)
}
