import type { Key } from '../../types/key.js'
import { badKey } from '../codec/keys.js'

/** Arguments that nest deeper have no key; one that holds itself has no end. */
const MOST_DEPTH = 64

/**
 * The key under which the result of a call is kept: the arguments as a tuple if each of them is a {@link Key}, else a
 * text of them: JSON with the properties of objects sorted, and with words of its own for what JSON would drop or change
 * (`undefined`, NaN, bigints, dates, bytes), so that calls with different arguments never share a key. Throws
 * `MILL_BAD_KEY` for arguments that neither can tell apart: functions, symbols, instances of classes, Map, Set, cycles.
 */
export function argumentKey(args: readonly unknown[]): Key {
  return isKey(args, 0) ? args : textOf(args, 0)
}

function isKey(value: unknown, depth: number): value is Key {
  switch (typeof value) {
    case 'string':
    case 'bigint':
      return true
    case 'number':
      return !Number.isNaN(value)
    case 'object':
      if (Array.isArray(value)) return depth < MOST_DEPTH && everyIsKey(value, depth + 1)
      return value instanceof Uint8Array
    default:
      return false
  }
}

function everyIsKey(list: readonly unknown[], depth: number): boolean {
  for (let i = 0; i < list.length; i++) if (!isKey(list[i], depth)) return false
  return true
}

function textOf(value: unknown, depth: number): string {
  if (depth > MOST_DEPTH) throw noKey(value)
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value)
    case 'number':
      // As a key, too, -0 is 0.
      return String(value + 0)
    case 'bigint':
      return `${value}n`
    case 'boolean':
    case 'undefined':
      return String(value)
    case 'object':
      return value === null ? 'null' : textOfObject(value, depth)
    default:
      throw noKey(value)
  }
}

function textOfObject(value: object, depth: number): string {
  if (Array.isArray(value)) return textOfList(value, depth)
  if (value instanceof Date) return `Date(${value.getTime()})`
  if (value instanceof Uint8Array) return `Bytes(${value.join()})`
  const prototype: unknown = Object.getPrototypeOf(value)
  // `null`, or the end of a chain: that of plain objects, also of those of another realm.
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) throw noKey(value)
  if (Object.getOwnPropertySymbols(value).length > 0) throw noKey(value)
  const properties = value as Record<string, unknown>
  const parts = Object.keys(value)
    .sort()
    .map((name) => `${JSON.stringify(name)}:${textOf(properties[name], depth + 1)}`)
  return `{${parts.join()}}`
}

function textOfList(list: readonly unknown[], depth: number): string {
  let text = '['
  for (let i = 0; i < list.length; i++) text += `${i === 0 ? '' : ','}${textOf(list[i], depth + 1)}`
  return `${text}]`
}

function noKey(value: unknown): Error {
  return badKey('arguments need `options.key` unless they are keys or plain data', value)
}
