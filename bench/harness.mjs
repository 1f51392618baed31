// Runs contestants in turns on the same data and compares them round by round. README.md says how to read the result.
import { createHash } from 'node:crypto'

/**
 * What a contestant hands back, off the clock it is made into one line that must be the same for all of them.
 * @typedef {object} Result
 * @property {number} count how many messages, lines, chunks it has seen
 * @property {number} total their lengths
 * @property {unknown} last the last one: bytes, a string, or something with `copy()` or `subarray()`
 * @property {number} [ns] per unit, where the run knows better than the clock around it: a difference of two runs, say
 */
/** @typedef {() => Result | Promise<Result>} Contestant one run over all the data */
/**
 * `atMost` or `atLeast`; with neither the row only tells how many times as fast `of` is.
 * @typedef {object} Goal
 * @property {string} of the contestant it is for
 * @property {string} against the contestant it is measured by
 * @property {number} [atMost] the time of `of` may be this many times that of `against`
 * @property {number} [atLeast] `of` is to be this many times as fast as `against`
 * @property {string} [label] in the table, if not the name of the race and `of`
 */
/**
 * @typedef {object} Race
 * @property {string} name
 * @property {string} unit what the times are per: message, line, chunk
 * @property {number} count units in one run
 * @property {Record<string, Contestant>} contestants they take turns in this order
 * @property {Goal[]} [goals]
 * @property {(result: any) => string} [digest] what has to be the same; default: count, total and the last one's bytes
 * @property {number} [rounds] default 11
 * @property {number} [turnMs] a turn repeats its run so often that it takes about this long; default 15
 */
/** @typedef {{ median: number, q1: number, q3: number }} Spread */
/** @typedef {{ benchmark: string, against: string, goal: string, reached: string, ratio?: Spread, met: boolean | null }} Row */

/** @param {number[]} values @returns {Spread} median and quartiles, interpolated */
export function spread(values) {
  const sorted = Float64Array.from(values).sort()
  const at = (/** @type {number} */ share) => {
    const place = share * (sorted.length - 1)
    const low = Math.floor(place)
    const high = Math.min(low + 1, sorted.length - 1)
    return sorted[low] + (sorted[high] - sorted[low]) * (place - low)
  }
  return { median: at(0.5), q1: at(0.25), q3: at(0.75) }
}

/** @param {Result} result */
export function digest({ count, total, last }) {
  return `${count} of ${total} in all, the last ${createHash('sha1').update(bytesOf(last)).digest('hex')}`
}

/** What a contestant's last message holds, copied if it is no plain array. @param {any} value @returns {Uint8Array | string} */
export function bytesOf(value) {
  if (typeof value === 'string' || value instanceof Uint8Array) return value
  return value.copy?.() ?? value.subarray()
}

/** @param {number} ns */
export const time = (ns) =>
  ns < 1e4
    ? `${+ns.toPrecision(3)} ns`
    : ns < 1e6
      ? `${+(ns / 1e3).toPrecision(3)} µs`
      : `${+(ns / 1e6).toPrecision(3)} ms`
/** @param {Spread} s */
const times = ({ median, q1, q3 }) => `${median.toFixed(2)}x (${q1.toFixed(2)}–${q3.toFixed(2)})`

/**
 * A young collection before each turn, so that nobody pays for the garbage of the one before. Not a full one: that
 * also drops hidden classes without a living instance, and with them the optimised code of everyone.
 */
const sweep = () => globalThis.gc?.({ type: 'minor', execution: 'sync' })

/** Turns before the first that counts. Long ones: a generator gets its optimised code only when it is started anew. */
const WARMUPS = 2
const WARMUP_MS = 60

/**
 * `ms` by the clock for one run, `ns` per unit.
 * @param {Contestant} run @param {number} repeats @param {number} count @returns {Promise<{ ms: number, ns: number, result: Result }>}
 */
async function turn(run, repeats, count) {
  sweep()
  let result
  let own = 0
  const start = performance.now()
  for (let i = 0; i < repeats; i++) {
    const answer = run()
    // Not awaited if there is nothing to wait for: a turn of the microtask queue is no part of a loop by hand.
    result = answer instanceof Promise ? await answer : answer
    own += result?.ns ?? 0
  }
  const ms = (performance.now() - start) / repeats
  const ns = result?.ns === undefined ? (ms * 1e6) / count : own / repeats
  return { ms, ns, result: /** @type {Result} */ (result) }
}

/** Collects the races and rows of one case. */
export class Bench {
  /** @type {Row[]} */
  rows = []
  /** @type {{ name: string, unit: string, ns: Record<string, Spread> }[]} */
  races = []

  /**
   * Runs a race and adds a row for each of its goals. Throws when two contestants did not get the same result.
   * @param {Race} race
   * @returns {Promise<{ ns: Record<string, Spread>, ratio(of: string, against: string): Spread }>} the times per unit;
   *   how much longer `of` took, of each round, then the median
   */
  async race({ name, unit, count, contestants, goals = [], digest: line = digest, rounds = 11, turnMs = 15 }) {
    const names = Object.keys(contestants)
    const repeats = new Map(names.map((who) => [who, 1]))
    const samples = new Map(names.map((who) => [who, /** @type {number[]} */ ([])]))
    let expected = ''
    for (let round = -WARMUPS; round < rounds; round++) {
      const aim = round < -1 ? WARMUP_MS : turnMs
      for (const who of names) {
        const { ms, ns, result } = await turn(contestants[who], repeats.get(who) ?? 1, count)
        const got = line(result)
        expected ||= got
        if (got !== expected) throw new Error(`${name}: ${who} got ${got}, but ${names[0]} ${expected}`)
        if (round >= 0) samples.get(who)?.push(ns)
        else repeats.set(who, Math.min(2000, Math.ceil(aim / ms)))
      }
    }
    const ns = Object.fromEntries([...samples].map(([who, values]) => [who, spread(values)]))
    this.races.push({ name, unit, ns })
    const ratio = (/** @type {string} */ of, /** @type {string} */ against) => {
      const base = samples.get(against) ?? []
      return spread((samples.get(of) ?? []).map((value, round) => value / base[round]))
    }
    for (const { of, against, atMost, atLeast, label } of goals) {
      const benchmark = label ?? `${name}: ${of}`
      const note = `, ${time(ns[of].median)} against ${time(ns[against].median)} per ${unit}`
      if (atMost !== undefined) this.atMost(benchmark, against, atMost, ratio(of, against), note)
      else this.atLeast(benchmark, against, atLeast, ratio(against, of), note)
    }
    return { ns, ratio }
  }

  /** @param {string} benchmark @param {string} against @param {number} limit @param {Spread} reached @param {string} [note] */
  atMost(benchmark, against, limit, reached, note = '') {
    const met = reached.median <= limit
    this.rows.push({
      benchmark,
      against,
      goal: `<= ${limit}x the time`,
      reached: times(reached) + note,
      ratio: reached,
      met,
    })
  }

  /** @param {string} benchmark @param {string} against @param {number | undefined} least @param {Spread} reached @param {string} [note] */
  atLeast(benchmark, against, least, reached, note = '') {
    const goal = least === undefined ? '' : `>= ${least}x ${least < 1 ? 'as fast' : 'faster'}`
    const met = least === undefined ? null : reached.median >= least
    this.rows.push({ benchmark, against, goal, reached: times(reached) + note, ratio: reached, met })
  }

  /** A time with a limit of its own. @param {string} benchmark @param {number} limit in ns @param {Spread} ns */
  limit(benchmark, limit, ns) {
    const reached = `${time(ns.median)} (${time(ns.q1)}–${time(ns.q3)})`
    this.rows.push({ benchmark, against: '', goal: `<= ${time(limit)}`, reached, met: ns.median <= limit })
  }

  /** Something that is so or not so. @param {string} benchmark @param {string} goal @param {string} reached @param {boolean} met */
  check(benchmark, goal, reached, met) {
    this.rows.push({ benchmark, against: '', goal, reached, met })
  }
}
