import { type AnyBytes, lines, type Source } from 'millrace'

/** A line that is no JSON. */
export class NdjsonError extends Error {
  override readonly name = 'NdjsonError'
  /** Counted from 1, as editors do. */
  readonly line: number

  constructor(line: number, cause: unknown) {
    super(`line ${line} is no JSON: ${cause instanceof Error ? cause.message : cause}`, { cause })
    this.line = line
  }
}

/**
 * One JSON value per line, from any stream or iterable of bytes or strings; lines of blanks are skipped. Throws
 * {@link NdjsonError}, or `MILL_TOO_LONG` for a line of more than `maxLength` bytes (2^20 unless given). What was
 * before the fault has been handed out by then.
 */
export async function* ndjson(
  source: Source<AnyBytes> | AnyBytes,
  { maxLength = 2 ** 20, signal }: { maxLength?: number; signal?: AbortSignal } = {},
): AsyncGenerator<unknown, void, void> {
  let number = 0
  const options = signal === undefined ? { maxLength } : { maxLength, signal }
  for await (const batch of lines(source, options).batches()) {
    for (const line of batch) {
      number++
      if (line.trim() === '') continue
      let value: unknown
      try {
        value = JSON.parse(line)
      } catch (error) {
        throw new NdjsonError(number, error)
      }
      yield value
    }
  }
}
