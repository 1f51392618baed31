import { HugeMap } from '../../../lib/hugemap/index.js'
import { faultOf, inLanes, type Ledger, numberOf, record, type Subject } from './record.js'

const SLOTS = 48
const LANES = 4
/** Slots whose record is written twice, in one batch: both are there or none. */
const isTwin = (slot: number): boolean => slot % 8 >= LANES
const keyOf = (writer: string, slot: number): string => `${writer} ${slot}`
const twinOf = (writer: string, slot: number): string => `twin ${writer} ${slot}`

/** A HugeMap: single writes and batches. `unsynced`: durability is turned off. */
export const map: Subject = {
  slots: SLOTS,

  async write(job, tell) {
    const durable = job.careless !== 'unsynced'
    const map = await HugeMap.open<string, Uint8Array>(job.folder, { value: 'bytes', durable })
    tell('open')
    await inLanes(job, LANES, tell, (n) => {
      const slot = n % SLOTS
      const bytes = record(job.writer, n)
      if (!isTwin(slot)) return map.set(keyOf(job.writer, slot), bytes)
      return map.batch((batch) => batch.set(keyOf(job.writer, slot), bytes).set(twinOf(job.writer, slot), bytes))
    })
    await map.close()
  },

  async examine({ folder, ledgers, mayLose }) {
    const faults: string[] = []
    const create = ledgers.every(({ done }) => Object.keys(done).length === 0)
    // By the way that whoever comes next takes: writing, which is where what a dead process left could stand in it.
    await using map = await HugeMap.open<string, Uint8Array>(folder, { create, value: 'bytes' })
    const { ok, problems } = await HugeMap.check(folder)
    if (!ok) faults.push(`check: ${JSON.stringify(problems.slice(0, 3))}`)
    for (const ledger of ledgers) faults.push(...examineOne(map, ledger, mayLose === true))
    if ((await map.set('after', new Uint8Array(100))) !== true) faults.push('it cannot be written to any more')
    return faults
  },
}

function examineOne(map: HugeMap<string, Uint8Array>, ledger: Ledger, mayLose: boolean): string[] {
  const { writer } = ledger
  const faults: string[] = []
  for (let slot = 0; slot < SLOTS; slot++) {
    const names = isTwin(slot) ? [keyOf(writer, slot), twinOf(writer, slot)] : [keyOf(writer, slot)]
    const numbers = names.map((name) => {
      const bytes = map.get(name)
      const n = bytes && numberOf(writer, bytes)
      if (bytes !== undefined && (n === undefined || n % SLOTS !== slot)) faults.push(`wrong: ${name}`)
      return n
    })
    if (numbers.some((n) => n !== numbers[0])) faults.push(`half a batch: ${writer} ${slot}: ${numbers}`)
    const fault = faultOf(ledger, slot, numbers[0])
    if (fault !== undefined && !(mayLose && fault.startsWith('lost'))) faults.push(fault)
  }
  return faults
}
