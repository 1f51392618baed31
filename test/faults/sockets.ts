import { fileURLToPath } from 'node:url'
import type { Finding, Lab, Mechanic } from './lab.js'
import { Program } from './writers.js'

const OURS = fileURLToPath(new URL('../fixtures/stream-sockets.js', import.meta.url))
const CARELESS = fileURLToPath(new URL('./subjects/careless-server.js', import.meta.url))
/** Bytes of buffers at once, of a server with twelve clients that are sent 24 MiB each. */
const MOST = 60 * 2 ** 20

/** Clients that are slow, or reset their connection, early or late: bounded memory, nobody dies, no handle is left. */
export const sockets: Mechanic = {
  name: 'sockets',
  needs: [],
  async run(lab) {
    const rounds = lab.times(10)
    await lab.case('G3, G4, G5: fast, slow and dying sockets', async () => {
      const all: Finding[] = []
      for (let round = 0; round < rounds; round++) all.push(await serve(lab, OURS))
      return { did: `${rounds} times, ${all.at(-1)?.did}`, faults: all.flatMap(({ faults }) => faults) }
    })
    await lab.control('writing without a look at what write() returns', () => serve(lab, CARELESS))
  },
}

async function serve(lab: Lab, server: string): Promise<Finding> {
  const program = new Program(lab, ['--max-old-space-size=128', server])
  const { code, signal } = await program.end()
  if (code !== 0)
    return { did: 'a server', faults: [`it ended with ${signal ?? code}: ${program.errors.slice(0, 300)}`] }
  const seen = JSON.parse(program.lines.at(-1) ?? '{}') as Record<string, number>
  const faults: string[] = []
  const same = (what: string, a: string, b: number | undefined): void => {
    if (seen[a] !== b) faults.push(`${what}: ${seen[a]}, not ${b}`)
  }
  same('fast clients that got everything', 'whole', seen.fast)
  same('connections that ended', 'settled', seen.connections)
  same('handles left', 'handles', 0)
  if ((seen.peak ?? MOST) >= MOST) faults.push(`${seen.peak} bytes at once`)
  return { did: `${seen.peak} bytes at once`, faults }
}
