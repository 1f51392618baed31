import test from 'ava'
import { failsForGood, folders } from './fixtures/failure-kit.js'

/*
 * Calls that go on failing: errors with codes, no death, no hang, readable afterwards.
 */

test.after.always(() => folders.remove())

for (const [op, how] of [
  ['write', '28'],
  ['write', '5'],
  ['sync', '5'],
] as const) {
  test.serial(`H2: ${op}s that go on failing (${how}): errors, no death, no hang, readable afterwards`, (t) =>
    failsForGood(t, op, how),
  )
}
