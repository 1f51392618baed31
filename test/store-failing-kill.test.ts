import test from 'ava'
import { failsOnce, folders } from './fixtures/failure-kit.js'

/*
 * The side process dies before, within or after one write to the file: each request is done once, or rejected and not
 * done.
 */

test.after.always(() => folders.remove())

for (const how of ['kill', 'half', 'done']) {
  test.serial(`H1: the n-th write to the file fails once (${how}): done once, or an error and not done`, (t) =>
    failsOnce(t, how),
  )
}
