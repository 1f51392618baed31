import { builtin } from '../base/builtin.js'

/** How deep differences are looked for; below, it is said where the last common object is. */
const DEEP = 32

/**
 * Where `back` is another value than `value`: a path such as `a.b[0]`, `''` for the whole; undefined if they are the
 * same, as `isDeepStrictEqual` sees it, except that an object without a prototype counts as a plain one and a Buffer as
 * bytes. Needs Node; elsewhere it sees no difference.
 */
export function difference(value: unknown, back: unknown): string | undefined {
  const same = builtin('node:util')?.isDeepStrictEqual
  return same === undefined || same(value, back) ? undefined : search(same, value, back, '', 0)
}

function search(
  same: (a: unknown, b: unknown) => boolean,
  a: unknown,
  b: unknown,
  path: string,
  depth: number,
): string | undefined {
  if (same(a, b)) return undefined
  if (depth === DEEP) return path
  if (Array.isArray(a) && Array.isArray(b) && a.length === b.length) {
    for (let i = 0; i < a.length; i++) {
      const found = i in a !== i in b ? `${path}[${i}]` : search(same, a[i], b[i], `${path}[${i}]`, depth + 1)
      if (found !== undefined) return found
    }
    return undefined
  }
  if (isPlain(a) && isPlain(b)) {
    for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
      const at = path === '' ? key : `${path}.${key}`
      const found = Object.hasOwn(a, key) !== Object.hasOwn(b, key) ? at : search(same, a[key], b[key], at, depth + 1)
      if (found !== undefined) return found
    }
    return Object.getOwnPropertySymbols(a).length === 0 ? undefined : path
  }
  if (a instanceof Uint8Array && b instanceof Uint8Array) return same([...a], [...b]) ? undefined : path
  return path
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype
}
