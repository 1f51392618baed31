import test from 'ava'
import { failsOnce, folders } from './fixtures/failure-kit.js'

/*
 * One write to the file fails, with an error or in part: each request is done once, or rejected and not done.
 */

test.after.always(() => folders.remove())

for (const how of ['28', '5', 'short']) {
  test.serial(`H1: the n-th write to the file fails once (${how}): done once, or an error and not done`, (t) =>
    failsOnce(t, how),
  )
}
