import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { killGroup, type Lab } from './lab.js'
import { type SubjectName, subjects } from './subjects/index.js'
import type { Ledger, WriteJob } from './subjects/record.js'

const CHILD = fileURLToPath(new URL('./subjects/child.js', import.meta.url))

/** Milliseconds after which whatever we wait for hangs, on a busy machine too. */
export const PATIENCE = 60_000

/** How a process of ours is started: with these variables, below these limits. */
export interface Surroundings {
  readonly env?: NodeJS.ProcessEnv
  /** Said to a shell before, such as `ulimit -f 100`. */
  readonly shell?: string
}

/** A program of ours as the leader of a group, whose signals reach all that it starts. */
export class Program {
  readonly process: ChildProcessByStdio<null, Readable, Readable>
  readonly ended: Promise<{ code: number | null; signal: string | null }>
  readonly lines: string[] = []
  errors = ''
  #over = false
  /** Lines said so far. */
  #said = 0
  #wake: (() => void)[] = []

  constructor(lab: Lab, args: readonly string[], { env, shell }: Surroundings = {}) {
    const command = [process.execPath, ...args]
    const [file, ...rest] = shell === undefined ? command : ['bash', '-c', `${shell}; exec "$@"`, 'bash', ...command]
    this.process = spawn(file as string, rest, {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    })
    const undo = lab.undo.add(() => killGroup(this.process))
    let part = ''
    this.process.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (part + text).split('\n')
      part = lines.pop() as string
      this.lines.push(...lines)
      this.#said += lines.length
      for (const line of lines) this.hear(line)
      this.#tellAll()
    })
    this.process.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.errors = (this.errors + text).slice(-4000)
    })
    this.ended = new Promise((resolve, reject) => {
      this.process.on('error', reject)
      this.process.on('close', (code, signal) => {
        this.#over = true
        // A leader that is dead may have left others behind.
        undo()
        this.#tellAll()
        resolve({ code, signal })
      })
    })
  }

  /** Called with each line. */
  protected hear(_line: string): void {}

  #tellAll(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }

  /** Resolves once it is so; rejects if the program ends before, or it takes too long. */
  async until(what: string, isSo: () => boolean): Promise<void> {
    const last = performance.now() + PATIENCE
    while (!isSo()) {
      if (this.#over) throw new Error(`it ended before ${what}: ${this.lines.slice(-2)} ${this.errors}`)
      const left = last - performance.now()
      if (left <= 0) throw new Error(`hung: ${what}: ${this.lines.slice(-2)} ${this.errors}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#wake.push(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
  }

  /** Resolves when it has ended; kills it and rejects once it has said nothing for too long. */
  async end(): Promise<{ code: number | null; signal: string | null }> {
    for (let said = -1; !this.#over && said !== this.#said; ) {
      said = this.#said
      let timer: NodeJS.Timeout | undefined
      const silence = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, PATIENCE)
      })
      await Promise.race([this.ended, silence])
      clearTimeout(timer)
    }
    if (!this.#over) {
      killGroup(this.process)
      throw new Error(`hung: ${this.process.spawnargs.slice(1).join(' ')}: ${this.lines.slice(-2)} ${this.errors}`)
    }
    return this.ended
  }

  /** Ends it and everything that it has started. */
  async kill(): Promise<void> {
    killGroup(this.process)
    await this.end()
  }
}

/** A process that writes to a subject, and what it was told. */
export class Writer extends Program {
  /** How many were acknowledged. */
  acknowledged = 0
  readonly codes: string[] = []
  /** The longest time, in milliseconds, between two acknowledgements. */
  longestWait = 0
  #last: number | undefined
  readonly #subject: SubjectName
  readonly #writer: string
  readonly #done: Map<number, number>
  readonly #refused: number[]

  /** @param before what the same writer was told when it ran before */
  constructor(lab: Lab, subject: SubjectName, job: WriteJob, surroundings?: Surroundings, before?: Ledger) {
    super(lab, [CHILD, 'write', subject, JSON.stringify(job)], surroundings)
    this.#subject = subject
    this.#writer = job.writer
    this.#done = new Map(Object.entries(before?.done ?? {}).map(([slot, n]) => [Number(slot), n]))
    this.#refused = [...(before?.refused ?? [])]
  }

  protected override hear(line: string): void {
    const [what, number, code = ''] = line.split(' ')
    const n = Number(number)
    if (what === 'done') {
      this.acknowledged++
      const now = performance.now()
      this.longestWait = Math.max(this.longestWait, now - (this.#last ?? now))
      this.#last = now
      this.#done.set(n % subjects[this.#subject].slots, n)
      // They are many, and all is known of them now.
      this.lines.length = 0
    } else if (what === 'refused') {
      this.#refused.push(n)
      this.codes.push(code || 'not stored')
    } else if (what === 'failed') this.codes.push(code)
  }

  /** What it was told up to now. */
  get ledger(): Ledger {
    return { writer: this.#writer, done: Object.fromEntries(this.#done), refused: [...this.#refused] }
  }

  /** More than it can have begun. */
  get beyond(): number {
    return Math.max(-1, ...this.#done.values(), ...this.#refused) + 1000
  }
}

/** What a fresh process finds wrong. */
export async function examine(
  lab: Lab,
  subject: SubjectName,
  folder: string,
  ledgers: readonly Ledger[],
  options: { mayLose?: boolean; env?: NodeJS.ProcessEnv } = {},
): Promise<string[]> {
  const { env = {}, ...how } = options
  const job = JSON.stringify({ folder, ledgers, ...how })
  const program = new Program(lab, [CHILD, 'examine', subject, job], { env })
  const { code, signal } = await program.end()
  const faults = [...program.lines]
  if (faults.pop() === 'examined' && code === 0) return faults
  return [`whoever looked at it ended with ${signal ?? code}: ${program.errors.slice(0, 600)}`]
}
