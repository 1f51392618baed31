import type { Label } from '../../types/mapbuffer.js'
import { ArgumentError } from '../base/errors.js'
import { splitLabel } from './label.js'
import { type Found, pickRows, type Rows } from './rows.js'

/** The labels that somebody asks for, in two columns. */
export interface Halves {
  readonly low: Uint32Array
  readonly high: Uint32Array
}

/** Halves of the label that was split last. */
const HALVES = new Uint32Array(2)

/** Throws `MILL_BAD_LABEL`. */
export function halvesOf(labels: readonly unknown[]): Halves {
  const low = new Uint32Array(labels.length)
  const high = new Uint32Array(labels.length)
  for (let i = 0; i < labels.length; i++) {
    splitLabel(labels[i], HALVES)
    low[i] = HALVES[0] as number
    high[i] = HALVES[1] as number
  }
  return { low, high }
}

/** Throws `MILL_INVALID_ARGUMENT`. */
export function listOf(labels: Iterable<Label>): Label[] {
  if (typeof (labels as Partial<Iterable<Label>> | null)?.[Symbol.iterator] === 'function') return [...labels]
  throw new ArgumentError('labels', 'an iterable of labels', labels)
}

/** Is label `i` of a question there? Throws what looking it up came to. */
export function isThere(found: Found, i: number): boolean {
  if (found.faults.has(i)) throw found.faults.get(i)
  return (found.position[i] as number) >= 0
}

/**
 * The rows that were found, in file order, each once if `unique`; `asked[i]` is the place of row `i` in the question.
 * Throws what looking one of them up came to.
 */
export function rowsFound(
  found: Found,
  { low, high }: Halves,
  unique = false,
): { readonly rows: Rows; readonly asked: Uint32Array } {
  for (const fault of found.faults.values()) throw fault
  const { position } = found
  const there: number[] = []
  for (let i = 0; i < position.length; i++) if ((position[i] as number) >= 0) there.push(i)
  let asked = Uint32Array.from(there).sort((a, b) => (position[a] as number) - (position[b] as number))
  if (unique) asked = asked.filter((at, i) => i === 0 || position[at] !== position[asked[i - 1] as number])
  return { rows: pickRows({ ...found, low, high }, asked), asked }
}
