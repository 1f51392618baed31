import type { CheckReport } from '../../types/hugemap.js'
import type { Progress } from '../../types/progress.js'
import { checkSignal } from '../base/abort.js'
import { ArgumentError, isMillraceError, type StoreError } from '../base/errors.js'
import { missing } from './folder-store.js'
import { decodeJson, REPORT } from './frames.js'
import { look } from './look.js'
import { realPath } from './real-path.js'
import { reviveReport } from './side-check.js'
import { runSide } from './side-run.js'

/** Without progress for so long, in milliseconds, the file is taken for damaged. */
const SILENCE = 60_000
/** Problems listed unless told otherwise. */
const MOST_PROBLEMS = 100

export interface CheckOptions {
  readonly signal?: AbortSignal | undefined
  /** Stops after so many problems; default 100. */
  readonly maxProblems?: number | undefined
  readonly onProgress?: ((progress: Progress) => void) | undefined
}

/**
 * Reads every byte of a folder's tables in a process of its own, and reports what is wrong: keys that are not in order,
 * checksums, counts, values that their codec can't read. A file that ends that process, or keeps it busy without
 * progress for a minute, is a problem too (`signal`). A file that LMDB must not even open is a problem
 * (`MILL_MAP_DAMAGED`), not an error. Rejects with `MILL_MAP_MISSING`, and on an abort with `signal.reason`.
 */
export async function checkFolder(where: string, options: CheckOptions = {}): Promise<CheckReport> {
  const { maxProblems = MOST_PROBLEMS, onProgress } = options
  const signal = checkSignal(options.signal)
  if (!(Number.isSafeInteger(maxProblems) && maxProblems > 0)) {
    throw new ArgumentError('options.maxProblems', 'a whole number > 0', maxProblems)
  }
  const path = realPath(where)
  let report: CheckReport = { ok: false, maps: [], problems: [] }
  try {
    if (look(path) === undefined) throw missing(path)
    const program = new URL('./side-process.js', import.meta.url)
    const done = await runSide(
      program,
      { command: 'check', path, maxProblems },
      {
        path,
        signal,
        onProgress,
        silenceMs: SILENCE,
        onFrame: (type, body) => {
          if (type === REPORT) report = reviveReport(decodeJson(body))
        },
      },
    )
    return reviveReport(done)
  } catch (error) {
    const damaged = isMillraceError(error, 'MILL_MAP_DAMAGED')
    if (!damaged && !isMillraceError(error, 'MILL_WRITER_LOST')) throw error
    const { message, signal: by } = error as StoreError
    // It could not be started: that says nothing about the file.
    if (!damaged && by === null && (error as StoreError).exitCode === null) throw error
    const reason = damaged ? message : `${path}: reading it ended the process that did`
    const problems = [...report.problems, { map: '', code: 'MILL_MAP_DAMAGED', message: reason }]
    return { ...report, ok: false, problems, ...(typeof by === 'string' && { signal: by }) }
  }
}
