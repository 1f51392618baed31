/** Bytes that records have, in turn: less than a page, about half of one, and pages of their own. */
const SIZES = [40, 300, 2100, 9000, 120, 30_000]

/** The record of a writer with this number: what is in it follows from both, so that a torn or foreign one shows. */
export function record(writer: string, n: number, size = SIZES[n % SIZES.length] as number): Uint8Array {
  const bytes = new Uint8Array(size)
  const { written } = new TextEncoder().encodeInto(`${writer} ${n} ${size} `, bytes)
  for (let i = written; i < size; i++) bytes[i] = Math.imul(n + 1, i + 7) >>> 3
  return bytes
}

/** The number of a record of this writer; undefined if it isn't one, or not wholly. */
export function numberOf(writer: string, bytes: Uint8Array): number | undefined {
  const [name, n, size] = Buffer.from(bytes.subarray(0, 40)).toString('latin1').split(' ')
  if (name !== writer || Number(size) !== bytes.length) return undefined
  return Buffer.compare(record(writer, Number(n), bytes.length), bytes) === 0 ? Number(n) : undefined
}

/** What one writer was told of its writes. */
export interface Ledger {
  readonly writer: string
  /** Of each slot the newest number that was acknowledged. */
  readonly done: Record<number, number>
  /** Numbers that were refused: they must not be there. */
  readonly refused: readonly number[]
}

/** What to write, and how. */
export interface WriteJob {
  readonly folder: string
  readonly writer: string
  /** The number to begin with. */
  readonly from: number
  /** How many to write; without end if absent. */
  readonly count?: number
  /** Which carelessness, for controls. */
  readonly careless?: 'early' | 'unsynced' | 'plain'
}

export interface ExamineJob {
  readonly folder: string
  readonly ledgers: readonly Ledger[]
  /** What was told may be lost, but nothing may be wrong. */
  readonly mayLose?: boolean
}

/** Something that is written to, and everything that can be wrong with it afterwards. */
export interface Subject {
  /** Numbers with the same rest go to the same place, one after the other. */
  readonly slots: number
  /** Tells `done n` or `refused n CODE` for each; rejects if it cannot go on. */
  write(job: WriteJob, tell: (line: string) => void): Promise<void>
  examine(job: ExamineJob): Promise<string[]>
}

/** What is wrong with the number that was found in a slot of a writer. */
export function faultOf(ledger: Ledger, slot: number, found: number | undefined): string | undefined {
  const acknowledged = ledger.done[slot]
  if (found === undefined) {
    return acknowledged === undefined ? undefined : `lost: ${ledger.writer} ${slot}: ${acknowledged} is gone`
  }
  if (acknowledged !== undefined && found < acknowledged) {
    return `lost: ${ledger.writer} ${slot}: ${found}, but ${acknowledged} was acknowledged`
  }
  return ledger.refused.includes(found) ? `refused: ${ledger.writer} ${slot}: ${found} is there` : undefined
}

/**
 * Numbers in `lanes` at once, those of a slot one after the other; `op` says of each whether it is done. An error with a
 * code of ours is told, any other ends it.
 */
export async function inLanes(
  { from, count = Number.POSITIVE_INFINITY, careless }: WriteJob,
  lanes: number,
  tell: (line: string) => void,
  op: (n: number) => Promise<unknown>,
): Promise<void> {
  const lane = async (first: number): Promise<void> => {
    for (let n = first; n < from + count; n += lanes) {
      const doing = op(n)
      // Acknowledged before it is: what a careless program does that awaits nothing.
      if (careless === 'early') tell(`done ${n}`)
      try {
        await doing
        if (careless !== 'early') tell(`done ${n}`)
      } catch (error) {
        const { code } = error as { code?: string }
        if (code?.startsWith('MILL_') !== true) throw error
        tell(`refused ${n} ${code}`)
      }
    }
  }
  await Promise.all(Array.from({ length: lanes }, (_, i) => lane(from + i)))
}
