import { LoadItError } from '../base/errors.js'
import { difference } from '../codec/fidelity.js'

/**
 * Throws `MILL_FIDELITY` unless the value that came back equals the one that was given: what a serializer loses, it loses
 * without a word. An object without a prototype counts as a plain one.
 */
export function compareItem(value: unknown, back: unknown, index: number, serializer: string): void {
  const path = difference(value, back)
  if (path === undefined) return
  const where = path === '' ? 'it' : path
  const advice = serializer === 'v8' ? '' : "; serializer: 'v8' keeps more"
  const message = `Item ${index} does not come back from ${serializer} as it is: ${where} is different${advice}`
  throw new LoadItError('MILL_FIDELITY', message, { index, path, serializer })
}
