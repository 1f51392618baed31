import { inline, runChunked } from 'millrace'

/** Maps a range to a small partial result: how long the longest Collatz sequence that starts in it is. */
const longest = inline(({ start, end }) => {
  let best = { start: 0, terms: 0 }
  let all = 0
  for (let i = start; i < end; i++) {
    let terms = 1
    for (let n = i; n > 1; terms++) n = n % 2 === 0 ? n / 2 : 3 * n + 1
    all += terms
    if (terms > best.terms) best = { start: i, terms }
  }
  return { best, all }
})

// Reduces them as they come: order does not matter here, so none waits for another. If this loop is slow the threads
// wait, and leaving it ends the run.
let best = { start: 0, terms: 0 }
let all = 0
for await (const part of runChunked(longest, { start: 1, end: 300_000 }).values({ ordered: false })) {
  if (part.best.terms > best.terms) best = part.best
  all += part.all
}
console.log(`${all} terms; the longest sequence starts at ${best.start} and has ${best.terms}`)
