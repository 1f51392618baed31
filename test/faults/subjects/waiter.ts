/**
 * A process that wants to write to a map whose lock another one has: `waiter.js <folder> <writer> <ms for the lock>`.
 * `exit` in the place of the time: exits in the middle of waiting.
 */
import { HugeMap } from '../../../lib/hugemap/index.js'
import { tell } from './tell.js'

const [path = '', writer = 'process', timeout = ''] = process.argv.slice(2)

tell('started')
const options = { writer: writer as 'process' | 'inline', lockTimeoutMs: Number(timeout) || 30_000 }
const map = await HugeMap.open<string, number>(path, options)
let ticks = 0
const clock = setInterval(() => ticks++, 10)
const start = performance.now()
const refused = map.set('refused', 1).then(
  () => 'done',
  (error: { code?: string }) => error.code ?? String(error),
)
tell(`read ${map.get('there')}`)
if (timeout === 'exit') {
  setTimeout(() => {
    tell('exiting')
    process.exit(0)
  }, 100)
} else {
  const code = await refused
  tell(`refused ${code} ${(performance.now() - start).toFixed(0)} ${ticks}`)
  clearInterval(clock)
  // Until the lock is free again, however often it is refused.
  for (let isWritten = false; !isWritten; ) {
    isWritten = await map.set('after', 2).then(
      () => true,
      () => false,
    )
  }
  tell('written')
  await map.close()
}
