import type { Progress } from '../../types/progress.js'
import type { Status } from '../../types/run.js'
import type { WritableOf } from '../../types/source.js'
import { ArgumentError } from '../base/errors.js'
import { type Callback, ignore } from '../streams/machine.js'
import { WriteFace } from '../streams/write-face.js'

/** Where a status line goes: a stream of Node's, or anything that takes text. */
export interface StatusOutput {
  write(text: string): unknown
  readonly isTTY?: boolean
  /** Width of the terminal, looked at for each line. */
  readonly columns?: number
}

export interface StatusLineOptions {
  /** What the line begins with. */
  label?: string
  /** Default `process.stderr`, so that what a program prints can still be piped. */
  stream?: StatusOutput
  /** Milliseconds from line to line. Default 100 on a terminal, 2,000 elsewhere. */
  intervalMs?: number
  /** Off a terminal: write also where `CI` is set or `TERM` is `dumb`. Default false. */
  force?: boolean
}

/**
 * A stream to pipe a run, or any other progress, into: it shows where the work stands, as
 * `label  61 %  612/1000  3 failed  9800/s  4 s left`; what is nil is left out. On a terminal one line is rewritten,
 * cut to its width, and ended by a newline; elsewhere it is a plain line every 2 s and one at the end. The last line of
 * work that did not come to its end says so: `label  61 %  612/1000  1 failed  failed after 4 s`. Other events pass
 * without a trace. It never fails: when the output does, the display ends and the work goes on, and when the work
 * fails, whoever waits for the work is told. Throws `MILL_INVALID_ARGUMENT`.
 */
export function statusLine(options: StatusLineOptions = {}): WritableOf<Progress | Status> {
  return new StatusLine(new Display(options)) as unknown as WritableOf<Progress | Status>
}

/** What may wait before `write()` asks for a pause; nothing does for longer than a turn. */
const MARK = 16

/** Told by a mark, not by its class: another copy of this library may have made it. */
const SHOWS = Symbol.for('millrace.status-line')

class StatusLine extends WriteFace {
  readonly [SHOWS] = true
  readonly #display: Display

  constructor(display: Display) {
    super(MARK, () => 1)
    this.#display = display
    // The error of a run that was piped in comes here too; the run's promise tells it.
    this.on('error', ignore)
  }

  /** Shown as it is written: of work that fails, the error destroys us while its last numbers still wait. */
  override write(item: unknown): boolean {
    if (this.writable) this.#display.show(item)
    return super.write(item)
  }

  override _writev(_: unknown[], done: Callback): void {
    done(null)
  }

  override _stop(): undefined {
    this.#display.end()
  }
}

/** A status line: it is told of a failure, and tells nobody. */
export const isStatusLine = (stream: unknown): boolean =>
  (stream as Partial<Record<symbol, unknown>> | null | undefined)?.[SHOWS] === true

/** What we use of an output that is a stream of Node's. */
interface NodeOutput extends StatusOutput {
  readonly writableLength?: number
  readonly writableNeedDrain?: boolean
  write(text: string, done?: () => void): unknown
  on?(event: 'error', listener: () => void): unknown
  off?(event: 'error', listener: () => void): unknown
}

/** Keeps the newest numbers and writes them at most once per interval: at once on a terminal, after it elsewhere. */
class Display {
  readonly #label: string
  readonly #to: NodeOutput
  readonly #terminal: boolean
  readonly #intervalMs: number
  #latest: Progress | undefined
  #drawn: Progress | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  /** Nothing is shown any more. */
  #over: boolean
  /** Writes that a stream of Node's has not finished. */
  #pending = 0

  constructor({ label = '', stream = process.stderr, intervalMs, force = false }: StatusLineOptions) {
    if (typeof label !== 'string') throw new ArgumentError('options.label', 'a string', label)
    if (typeof (stream as Partial<StatusOutput> | null)?.write !== 'function')
      throw new ArgumentError('options.stream', 'something with write()', stream)
    if (intervalMs !== undefined && !(Number.isFinite(intervalMs) && intervalMs >= 0))
      throw new ArgumentError('options.intervalMs', 'a number of milliseconds >= 0', intervalMs)
    const { CI, TERM } = process.env
    this.#label = label
    this.#to = stream
    this.#terminal = stream.isTTY === true && TERM !== 'dumb'
    this.#intervalMs = intervalMs ?? (this.#terminal ? 100 : 2000)
    this.#over = !this.#terminal && !force && (Boolean(CI) || TERM === 'dumb')
    // A closed pipe says so by an event, after write() has returned.
    if (!this.#over) this.#to.on?.('error', this.#stop)
  }

  show(item: unknown): void {
    if (this.#over || !isProgress(item)) return
    this.#latest = item
    if ((item as { type?: unknown }).type === 'end') this.end()
    else if (this.#timer === undefined) {
      if (this.#terminal) this.#draw()
      this.#wait()
    }
  }

  /** Writes the last line, if the newest numbers are not there already. */
  end(): void {
    if (!this.#over) {
      if (this.#latest !== this.#drawn) this.#draw(true)
      if (this.#terminal && this.#drawn !== undefined) this.#write('\n')
      this.#stop()
    }
    if (this.#pending === 0) this.#to.off?.('error', this.#stop)
  }

  #wait(): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      if (this.#latest === this.#drawn) return
      this.#draw()
      if (!this.#over) this.#wait()
    }, this.#intervalMs)
    this.#timer.unref?.()
  }

  #draw(last = false): void {
    // A slow output gets fewer lines, never a backlog.
    if (!last && this.#to.writableNeedDrain === true) return
    const progress = this.#latest as Progress
    this.#drawn = progress
    const text = lineOf(this.#label, progress)
    const { columns } = this.#to
    // Erased first: behind a line as wide as the terminal, erasing would take its last character.
    this.#write(this.#terminal ? `\r\x1b[K${columns ? text.slice(0, columns) : text}` : `${text}\n`)
  }

  #write(text: string): void {
    if (this.#over) return
    try {
      if (this.#to.writableLength === undefined) this.#to.write(text)
      else {
        this.#to.write(text, this.#written)
        this.#pending++
      }
    } catch {
      // The display ends, the work goes on: nobody would know what to do with this error.
      this.#stop()
    }
  }

  readonly #written = (): void => {
    this.#pending--
    // Of a write that failed, the event comes after this call.
    if (this.#over) setImmediate(() => this.end())
  }

  readonly #stop = (): void => {
    this.#over = true
    clearTimeout(this.#timer)
  }
}

function isProgress(item: unknown): item is Progress {
  return typeof (item as Partial<Progress> | null | undefined)?.done === 'number'
}

function lineOf(label: string, progress: Progress): string {
  const { phase, done, total, elapsedMs, rate, etaMs = 0 } = progress
  const { failed = 0 } = progress as { failed?: number }
  const parts = label === '' ? [] : [label]
  // Rounded down: 100 % is when all is done.
  if (total === undefined) parts.push(`${done}`)
  else parts.push(`${total > 0 ? Math.floor((100 * done) / total) : 100} %`, `${done}/${total}`)
  if (failed > 0) parts.push(`${failed} failed`)
  if (phase === 'failed' || phase === 'aborted') {
    parts.push(`${phase} after ${duration(elapsedMs)}`)
    return parts.join('  ')
  }
  if (rate >= 0.05 && Number.isFinite(rate)) parts.push(`${rate < 10 ? Number(rate.toFixed(1)) : Math.round(rate)}/s`)
  if (etaMs > 0 && Number.isFinite(etaMs)) parts.push(`${duration(etaMs)} left`)
  return parts.join('  ')
}

/** Rounded up, in a unit that leaves two or three digits. */
function duration(ms: number): string {
  const seconds = Math.ceil(ms / 1000)
  if (seconds < 120) return `${seconds} s`
  const minutes = Math.ceil(seconds / 60)
  return minutes < 120 ? `${minutes} min` : `${Math.ceil(minutes / 60)} h`
}
