/**
 * Gives changed inputs to something that reads them: `fuzzed.js <target> <inputs> <seed>`. Says where it is now and then,
 * and at the end `done`, or what went wrong with which input.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Chance } from '../lab.js'
import { mutate } from './mutator.js'
import { CARELESS, type Reading, TARGETS } from './targets.js'
import { tell } from './tell.js'

/** Milliseconds one small input may take, on a busy machine. */
const SLOW = 5000
/** Inputs between two words. */
const STRIDE = 2000
const CORPUS = fileURLToPath(new URL('../../../../test/corpus/', import.meta.url))

const [name = '', count = '0', seed = '0'] = process.argv.slice(2)
const target = name === 'careless' ? CARELESS : TARGETS[name]
if (target === undefined) throw new Error(`there is no target ${name}`)
const folder = `${CORPUS}${name === 'careless' ? 'u32' : name}/`
const corpus = readdirSync(folder).map((file) => new Uint8Array(readFileSync(folder + file)))
const chance = new Chance(Number(seed), name)
const read = await target.make()

/** What is wrong with an input; undefined: nothing. */
async function faultOf(read: Reading, input: Uint8Array): Promise<string | undefined> {
  const start = performance.now()
  try {
    const once = JSON.stringify(await read([input]))
    if (target?.cuts === true) {
      const [a, b] = [chance.below(input.length + 1), chance.below(input.length + 1)].sort((x, y) => x - y)
      const cut = JSON.stringify(await read([input.slice(0, a), input.slice(a, b), input.slice(b)]))
      if (cut !== once) return `cut at ${a} and ${b}: ${cut.slice(0, 200)}, not ${once.slice(0, 200)}`
    }
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error)
  }
  return performance.now() - start > SLOW ? await slowFault(read, input) : undefined
}

/** It was slow, or the machine was: of three more times the quickest tells. */
async function slowFault(read: Reading, input: Uint8Array): Promise<string | undefined> {
  let quickest = Number.POSITIVE_INFINITY
  for (let tries = 0; tries < 3; tries++) {
    const start = performance.now()
    await read([input])
    quickest = Math.min(quickest, performance.now() - start)
  }
  return quickest > SLOW / 2 ? `it takes ${quickest.toFixed(0)} ms` : undefined
}

const clean = Object.getOwnPropertyNames(Object.prototype).length
for (let i = 0; i < corpus.length + Number(count); i++) {
  const input = corpus[i] ?? mutate(chance, chance.pick(corpus), corpus)
  if (i % STRIDE === 0) tell(`at ${i}`)
  const fault = await faultOf(read, input)
  if (fault === undefined) continue
  tell(
    `fault ${fault.replaceAll('\n', ' ').slice(0, 500)}; input, for test/corpus/${name}: ${Buffer.from(input).toString('base64')}`,
  )
  break
}
if (Object.getOwnPropertyNames(Object.prototype).length !== clean) tell('fault a prototype was changed')
tell('done')
