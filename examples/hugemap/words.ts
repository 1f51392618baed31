import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { HugeMap, lines } from 'millrace'

const WORDS = 'the mill race brings the river to the machine and the machine makes meal of what the mill has met'.split(
  ' ',
)

/** Text that never was a whole: 20,000 lines of five words each, in pieces. */
function* text(): Generator<string, void, void> {
  for (let i = 0, at = 0; i < 20_000; i++) {
    const words = []
    for (let n = 0; n < 5; n++, at = (at * 5 + 3 + i) % 997) words.push(WORDS[at % WORDS.length])
    yield `${words.join(' ')}\n`
  }
}

const folder = await mkdtemp(join(tmpdir(), 'millrace-'))
try {
  await using counts = await HugeMap.open<string, number>(join(folder, 'counts'), { key: 'string', value: 'f64' })
  for await (const some of lines(text()).batches()) {
    const found = new Map<string, number>()
    for (const line of some) for (const word of line.split(' ')) found.set(word, (found.get(word) ?? 0) + 1)
    // `update` is atomic among all processes: ten of these programs could count into one folder.
    await Promise.all([...found].map(([word, n]) => counts.update(word, (old = 0) => old + n)))
  }
  const top = [...counts.entries({ prefix: 'm' })].sort(([, a], [, b]) => b - a).slice(0, 10)
  for (const [word, count] of top) console.log(word.padEnd(10), count)
  let total = 0
  for (const count of counts.values()) total += count
  console.log(`${total} words, ${counts.size} different ones; of those with m the first is ${top[0]?.[0]}`)
} finally {
  await rm(folder, { recursive: true })
}
