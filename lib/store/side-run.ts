import type { Progress } from '../../types/progress.js'
import { onAbort } from '../base/abort.js'
import { StoreError } from '../base/errors.js'
import { unpackFailure } from './failure.js'
import { DONE, decodeJson, FAILED, PROGRESS } from './frames.js'
import { SideChild, type SideEnd } from './side-child.js'

export interface SideRunOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: Progress) => void) | undefined
  /** Without a word for so many milliseconds it is taken for stuck and ended: `MILL_WRITER_LOST`. Default: no limit. */
  readonly silenceMs?: number
  /** Frames of other types. */
  readonly onFrame?: (type: number, body: Uint8Array) => void
  /** For messages. */
  readonly path: string
}

/**
 * Runs a side process to its end and resolves to the JSON it sends as `DONE`. An abort ends it and rejects with
 * `signal.reason`; what it reports as `FAILED` is thrown; a process that ends without a word is `MILL_WRITER_LOST`,
 * with `exitCode` and `signal`. It has ended when this settles, and keeps this process alive until then.
 */
export async function runSide(program: URL, args: object, options: SideRunOptions): Promise<unknown> {
  const { signal, onProgress, onFrame, silenceMs, path } = options
  signal?.throwIfAborted()
  let answer: { value: unknown } | undefined
  let failure: unknown
  let end: SideEnd | undefined
  let timer: NodeJS.Timeout | undefined
  let silent = false
  const listen = (): void => {
    clearTimeout(timer)
    if (silenceMs === undefined) return
    timer = setTimeout(() => {
      silent = true
      child.kill()
    }, silenceMs)
  }
  const child = new SideChild(program, args, {
    frame(type, _, body) {
      listen()
      if (type === DONE) answer = { value: decodeJson(body) }
      else if (type === FAILED) failure ??= unpackFailure(body)
      else if (type !== PROGRESS) onFrame?.(type, body)
      else if (failure === undefined) {
        try {
          onProgress?.(decodeJson(body) as Progress)
        } catch (error) {
          failure = error
          child.kill()
        }
      }
    },
    end(how) {
      end = how
    },
  })
  listen()
  child.ref()
  const off = onAbort(signal, () => child.kill())
  await child.ended
  off()
  clearTimeout(timer)
  if (answer !== undefined && failure === undefined) return answer.value
  signal?.throwIfAborted()
  throw failure ?? sideLost(path, end, silent ? `said nothing for ${silenceMs} ms` : undefined)
}

/** `MILL_WRITER_LOST`: what a side process died of. */
export function sideLost(path: string, end: SideEnd | undefined, how = describeEnd(end)): StoreError {
  const { exitCode = null, signal = null, words = '', error } = end ?? {}
  const cause = error ?? (words === '' ? undefined : new Error(words))
  return new StoreError('MILL_WRITER_LOST', `${path}: the side process ${how}; nothing of this was written`, {
    path,
    exitCode,
    signal,
    ...(cause !== undefined && { cause }),
  })
}

function describeEnd(end: SideEnd | undefined): string {
  if (end?.error !== undefined) return "can't be started (`writer: 'inline'` does without)"
  return end?.signal != null ? `was ended by ${end.signal}` : `ended with exit code ${end?.exitCode}`
}
