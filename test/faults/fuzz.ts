import { fileURLToPath } from 'node:url'
import type { Finding, Lab, Mechanic } from './lab.js'
import { CARELESS, TARGETS } from './subjects/targets.js'
import { Program } from './writers.js'

const FUZZED = fileURLToPath(new URL('./subjects/fuzzed.js', import.meta.url))
/** Heap of a process that reads changed inputs, in megabytes: a length that is believed would not fit. */
const HEAP = 128

/**
 * Everything that reads bytes of strangers is given the inputs of test/corpus, changed by chance: values or an error of
 * ours, the same in any pieces, soon, and in little memory. What is found joins the corpus.
 */
export const fuzz: Mechanic = {
  name: 'fuzz',
  needs: [],
  async run(lab) {
    const names = Object.keys(TARGETS)
    const lane = async (): Promise<void> => {
      for (let name = names.shift(); name !== undefined; name = names.shift()) {
        const target = name
        const inputs = lab.times(TARGETS[target]?.inputs ?? 0)
        await lab.case(`G2, B1: ${target}`, () => run(lab, target, inputs))
      }
    }
    await Promise.all([lane(), lane()])
    await lab.control('a parser with a planted bug', () => run(lab, 'careless', CARELESS.inputs))
  },
}

async function run(lab: Lab, target: string, inputs: number): Promise<Finding> {
  const seed = lab.chance(target).below(2 ** 31)
  const program = new Program(lab, [`--max-old-space-size=${HEAP}`, FUZZED, target, `${inputs}`, `${seed}`])
  const faults: string[] = []
  try {
    const { code, signal } = await program.end()
    if (code !== 0)
      faults.push(`it ended with ${signal ?? code} ${program.lines.at(-1)}: ${program.errors.slice(0, 400)}`)
  } catch (error) {
    // An input that never ends.
    faults.push(error instanceof Error ? error.message : String(error))
  }
  for (const line of program.lines) if (line.startsWith('fault ')) faults.push(line.slice(6))
  return { did: `${inputs} inputs, seed ${seed}`, faults }
}
