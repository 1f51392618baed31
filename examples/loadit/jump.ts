import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { LoadIt } from 'millrace'

let walked = 0

/** Something one can only walk through, and slowly: who stopped at which mill, day after day. */
async function* visits() {
  for (let day = 0; day < 12_000; day++) {
    if (day % 500 === 0) await turn()
    walked++
    yield { day, miller: `miller ${day % 17}`, sacks: (day * 31) % 100 }
  }
}

const root = await mkdtemp(join(tmpdir(), 'millrace-'))
try {
  const options = { root, source: visits, maxShardLength: 1000 }
  {
    await using loader = await LoadIt.open(options)
    const far = await loader.at(11_030) // walks as far as this, once
    const before = walked
    const near = await loader.getMany([11_029, 11_031, 3]) // on disk by now
    console.log(`day ${far?.day}: ${far?.sacks} sacks; around it ${near.map((visit) => visit?.sacks).join(', ')}`)
    console.log(`${walked - before < 1000 ? 'no' : 'another'} walk for the neighbours, ${await loader.length()} days`)
  }
  const first = walked
  await using again = await LoadIt.open(options)
  const last = await again.at(-1)
  const days = []
  for await (const { day } of again.slice(0, 9, 3)) days.push(day)
  console.log(`the second run walked ${walked - first}; days ${days.join(' ')}, the last one ${last?.day}`)
} finally {
  await rm(root, { recursive: true })
}
