/** What a step of the tour did. */
export interface Step {
  readonly name: string
  readonly ms: number
  readonly bytes: number
}

/** Runs the steps of the tour, prints a line for each, and one of totals in the end. */
export class Report {
  readonly steps: Step[] = []

  /**
   * Runs one step. It returns what it found, how many bytes it touched, and in a few words what it did.
   */
  async step<T>(name: string, run: () => Promise<Result<T>>): Promise<T> {
    const start = performance.now()
    const { value, bytes, text } = await run()
    const ms = performance.now() - start
    this.steps.push({ name, ms, bytes })
    console.log(`${name.padEnd(24)} ${`${ms.toFixed(0)} ms`.padStart(8)} ${megabytes(bytes).padStart(10)}   ${text}`)
    return value
  }

  /** A line that belongs to the step before. */
  detail(text: string): void {
    console.log(`${' '.repeat(47)}${text}`)
  }

  /** The last line. */
  totals(): void {
    let ms = 0
    let bytes = 0
    for (const step of this.steps) {
      ms += step.ms
      bytes += step.bytes
    }
    // maxRSS is in KiB on every system.
    const peak = process.resourceUsage().maxRSS * 1024
    console.log(
      `total: ${this.steps.length} steps, ${(ms / 1000).toFixed(2)} s, ${megabytes(bytes)} touched, peak memory ${megabytes(peak)}`,
    )
  }
}

/** What a step gives back. */
export interface Result<T> {
  readonly value: T
  readonly bytes: number
  readonly text: string
}

/** 10^6 bytes, with one digit after the point. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}
