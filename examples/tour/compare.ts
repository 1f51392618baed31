/** Where two values differ first, or undefined where they are the same: same fields, same values, all the way down. */
export function difference(ours: unknown, theirs: unknown, path = ''): string | undefined {
  if (Object.is(ours, theirs)) return undefined
  if (typeof ours !== 'object' || typeof theirs !== 'object' || ours === null || theirs === null) {
    return `${path}: ${JSON.stringify(ours)} is not ${JSON.stringify(theirs)}`
  }
  for (const name of new Set([...Object.keys(ours), ...Object.keys(theirs)])) {
    if (!Object.hasOwn(ours, name)) return `${path}.${name} is missing`
    if (!Object.hasOwn(theirs, name)) return `${path}.${name} should not be there`
    const found = difference(
      (ours as Record<string, unknown>)[name],
      (theirs as Record<string, unknown>)[name],
      `${path}.${name}`,
    )
    if (found !== undefined) return found
  }
  return undefined
}
