import { type ChildProcess, execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What a look at something came to: what was done, in figures, and everything that was not as it must be. */
export interface Finding {
  readonly did: string
  readonly faults: readonly string[]
}

/** One way to break things, and everything that has to stand it. */
export interface Mechanic {
  readonly name: string
  /** Programs it cannot do without. */
  readonly needs: readonly string[]
  run(lab: Lab): Promise<void>
}

/** Faults that are shown of one case; the others are counted. */
const SHOWN = 5

/** What the cases of a run came to. */
export class Tally {
  passed = 0
  failed = 0
  readonly #failures: string[] = []

  line(ok: boolean, words: string): void {
    // What was damaged is shown, too: nothing in it may speak to the terminal.
    const text = words.replaceAll(/[^\x20-\x7e\n]/g, '?')
    if (ok) this.passed++
    else {
      this.failed++
      this.#failures.push(text)
    }
    console.log(`${ok ? 'ok  ' : 'FAIL'} ${text}`)
  }

  /** The failures once more, so that nobody has to look for them, and the last line. */
  end(): void {
    if (this.failed > 0) console.log(`\n${this.#failures.join('\n')}`)
    console.log(`${this.passed} passed, ${this.failed} failed`)
  }
}

/** Everything that has to be undone, whatever happens, the last first. */
export class Undo {
  readonly #steps = new Set<() => void>()

  /** Returns what undoes it now. */
  add(step: () => void): () => void {
    const once = (): void => {
      if (this.#steps.delete(once)) step()
    }
    this.#steps.add(once)
    return once
  }

  all(): void {
    for (const step of [...this.#steps].reverse()) {
      try {
        step()
      } catch (error) {
        // The others must not be left because of this one; a mount that stays is named here, and by the last case.
        console.error(error)
      }
    }
  }
}

/** Chance that comes again: the same for the same seed and name. */
export class Chance {
  #state: number

  constructor(seed: number, name: string) {
    this.#state = seed >>> 0
    for (const letter of name) this.#state = (Math.imul(this.#state, 31) + letter.charCodeAt(0)) >>> 0
  }

  /** From 0 to below 1. */
  random(): number {
    // mulberry32
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  /** A whole number from 0 to below `n`. */
  below(n: number): number {
    return Math.floor(this.random() * n)
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T
  }
}

/** What a mechanic has: a folder, figures, chance, and the two ways to say how something went. */
export class Lab extends Chance {
  readonly name: string
  /** A fresh folder of its own. */
  readonly folder: string
  /** Figures of a run before a merge are 1. */
  readonly scale: number
  readonly undo: Undo
  readonly #seed: number
  readonly #tally: Tally
  #folders = 0

  constructor(name: string, root: string, settings: { scale: number; seed: number; undo: Undo; tally: Tally }) {
    super(settings.seed, name)
    this.name = name
    this.folder = join(root, name)
    mkdirSync(this.folder)
    this.scale = settings.scale
    this.undo = settings.undo
    this.#seed = settings.seed
    this.#tally = settings.tally
  }

  /** For one of several cases that run at the same time, and would otherwise take it from each other. */
  chance(name: string): Chance {
    return new Chance(this.#seed, name)
  }

  /** How often something is to be done that a run before a merge does `figure` times; never less than `least`. */
  times(figure: number, least = 1): number {
    return Math.max(least, Math.round(figure * this.scale))
  }

  /** A new folder, or the name for one. */
  newFolder(make = true): string {
    const path = join(this.folder, `f${this.#folders++}`)
    if (make) mkdirSync(path, { mode: 0o700 })
    return path
  }

  /** Nothing may be wrong. */
  async case(title: string, look: () => Promise<Finding>): Promise<void> {
    await this.#try(title, async () => {
      const { did, faults } = await look()
      if (faults.length === 0) return { ok: true, text: did }
      const more = faults.length > SHOWN ? `\n       and ${faults.length - SHOWN} more` : ''
      return { ok: false, text: `${did}\n       ${faults.slice(0, SHOWN).join('\n       ')}${more}` }
    })
  }

  /**
   * The same look at something careless: it has to find faults, else it would find none in the library either. What is
   * lost by careless writing is a matter of chance: a look that has found nothing is repeated, twice at most.
   */
  async control(title: string, look: () => Promise<Finding>): Promise<void> {
    await this.#try(`control: ${title}`, async () => {
      let { did, faults } = await look()
      for (let again = 0; again < 2 && faults.length === 0; again++) ({ did, faults } = await look())
      if (faults.length === 0) return { ok: false, text: `${did}: no fault was seen, so this look sees none` }
      return { ok: true, text: `${did}: ${faults.length} faults, as there must be, e.g. ${faults[0]?.slice(0, 120)}` }
    })
  }

  async #try(title: string, look: () => Promise<{ ok: boolean; text: string }>): Promise<void> {
    const start = performance.now()
    let outcome: { ok: boolean; text: string }
    try {
      outcome = await look()
    } catch (error) {
      outcome = { ok: false, text: error instanceof Error ? (error.stack ?? error.message) : String(error) }
    }
    const seconds = ((performance.now() - start) / 1000).toFixed(1)
    this.#tally.line(outcome.ok, `${this.name}: ${title}: ${outcome.text} (${seconds} s)`)
  }
}

/** A folder for a whole run, gone at its end. */
export function runFolder(undo: Undo): string {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'millrace-faults-')))
  undo.add(() => rmSync(root, { recursive: true, force: true }))
  return root
}

/** Ends a process and, if it leads a group, all that it has started. */
export function killGroup(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, signal)
  } catch (error) {
    // There is nobody left in it.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** What is still there of a mechanic once it is over: processes that name its folder, and mounts in it. */
export function leftOf(folder: string): string[] {
  const left: string[] = []
  for (const name of readdirSync('/proc')) {
    if (!(Number(name) > 0)) continue
    try {
      const command = readFileSync(`/proc/${name}/cmdline`, 'utf8')
      const [, state = ''] = readFileSync(`/proc/${name}/stat`, 'utf8').split(') ')
      if (command.includes(folder) && !state.startsWith('Z'))
        left.push(`process ${name}: ${command.replaceAll('\0', ' ')}`)
    } catch {
      // It has just ended.
    }
  }
  for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
    if (line.split(' ')[1]?.startsWith(folder)) left.push(`mount: ${line}`)
  }
  return left
}

/** Of these programs those that are not to be found. */
export function missing(programs: readonly string[]): string[] {
  return programs.filter((program) => {
    try {
      execFileSync('sh', ['-c', 'command -v "$0"', program], { stdio: 'ignore' })
      return false
    } catch {
      return true
    }
  })
}
