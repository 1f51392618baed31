import type { Codec } from '../../types/codec.js'
import type { CheckReport } from '../../types/hugemap.js'
import type { KeyCodec } from '../../types/key.js'
import type { TableConfig } from '../../types/store.js'
import { compareBytes } from '../base/bytes.js'
import { crc32cOf } from '../base/crc32c.js'
import { isMillraceError } from '../base/errors.js'
import { Meter } from '../base/progress.js'
import { isCodec, loadCodec } from '../codec/index.js'
import { keyCodecOf } from '../codec/keys.js'
import { isSerializerName, loadSerializer, type PlacedSerializer } from '../codec/serializer.js'
import { MOST_MAPS } from './folder-swap.js'
import { PROGRESS, REPORT } from './frames.js'
import { FIRST_MAP } from './ids.js'
import { openEnvironment } from './lmdb-environment.js'
import type { LmdbTable } from './lmdb-table.js'
import { sendJson } from './side-io.js'

export interface CheckArguments {
  readonly command: 'check'
  readonly path: string
  readonly maxProblems: number
}

/** Entries between two looks at the clock. */
const LOOK_EVERY = 1024
/** Milliseconds between two reports of progress. */
const REPORT_MS = 200
/** Bytes a value may have when it is decompressed. */
const MOST_VALUE = 268_435_456
const KEY_CODECS = ['any', 'string', 'bytes', 'u64']

type Problem = CheckReport['problems'][number]
type Mutable<T> = { -readonly [K in keyof T]: T[K] }
interface Findings {
  readonly maps: Mutable<CheckReport['maps'][number]>[]
  readonly problems: Problem[]
}

/** A report after its way through JSON, which has no bytes. */
export function reviveReport(sent: unknown): CheckReport {
  const report = sent as CheckReport
  const problems = report.problems.map((problem) =>
    problem.key === undefined ? problem : { ...problem, key: Uint8Array.from(problem.key) },
  )
  return { ...report, problems }
}

export async function runCheck({ path, maxProblems }: CheckArguments): Promise<object> {
  const env = await openEnvironment(path, { readonly: true, maxMaps: MOST_MAPS })
  const found: Findings = { maps: [], problems: [] }
  let id = FIRST_MAP
  for (const name of env.tableNames()) {
    const table = env.table(name, id++)
    if (table === undefined) continue
    await new TableCheck(table, name, found, maxProblems).run()
    sendJson(REPORT, 0, { ok: false, ...found })
    if (found.problems.length >= maxProblems) break
  }
  await env.close()
  return { ok: found.problems.length === 0, ...found }
}

class TableCheck {
  readonly #table: LmdbTable
  readonly #name: string
  readonly #found: Findings
  readonly #limit: number
  readonly #meter: Meter
  #reported = performance.now()
  #keys: KeyCodec<unknown> | undefined
  #serializer: PlacedSerializer<unknown> | undefined
  #codec: Codec | undefined

  constructor(table: LmdbTable, name: string, found: Findings, limit: number) {
    this.#table = table
    this.#name = name
    this.#found = found
    this.#limit = limit
    this.#meter = new Meter(`check ${name}`, { total: table.size })
  }

  async run(): Promise<void> {
    const table = this.#table
    await this.#loadCodecs(table.config)
    const of = { name: this.#name, entries: 0, counted: 0, bytes: 0 }
    this.#found.maps.push(of)
    // Of one state: others write meanwhile.
    const state = table.snapshot()
    of.entries = state.size
    const cursor = table.cursor({}, state)
    let before = new Uint8Array(0)
    while (this.#found.problems.length < this.#limit && cursor.next()) {
      const key = cursor.key.slice(0, cursor.keyLength)
      if (of.counted > 0 && compareBytes(before, key) >= 0) this.#say('MILL_NOT_SORTED', 'keys are out of order', key)
      before = key
      of.counted++
      of.bytes += cursor.keyLength + cursor.valueLength
      this.#checkEntry(key, cursor.value, cursor.valueLength)
      this.#meter.add(1, cursor.keyLength + cursor.valueLength)
      if (of.counted % LOOK_EVERY === 0) this.#report()
    }
    cursor.close()
    state.close()
    const whole = this.#found.problems.length < this.#limit
    if (whole && of.counted !== of.entries) {
      this.#say('MILL_COUNT_MISMATCH', `it says it has ${of.entries} entries, and has ${of.counted}`)
    }
  }

  #checkEntry(key: Uint8Array, value: Uint8Array, length: number): void {
    const { checksum, compress } = this.#table.config
    const at = checksum ? 4 : 0
    const from = compress === 'none' ? at : at + 1
    if (length < from) {
      this.#say('MILL_BAD_CRC', `a value of ${length} bytes is none`, key)
      return
    }
    if (checksum) {
      const stored = new DataView(value.buffer, value.byteOffset, 4).getUint32(0, true)
      const computed = crc32cOf(value, at, length, crc32cOf(key, 0, key.length))
      if (stored !== computed) {
        this.#say('MILL_BAD_CRC', 'the value is not what was stored for this key', key)
        return
      }
    }
    try {
      this.#keys?.decode(key)
      if (compress === 'none') this.#serializer?.decodeFrom(value, from, length)
      else if (value[at] === 0) this.#serializer?.decodeFrom(value, from, length)
      else if (this.#codec !== undefined) {
        const plain = this.#codec.decode(
          new Uint8Array(value.buffer, value.byteOffset + from, length - from),
          MOST_VALUE,
        )
        this.#serializer?.decodeFrom(plain, 0, plain.length)
      }
    } catch (error) {
      const code = isMillraceError(error) ? error.code : 'MILL_DECODE'
      this.#say(code, error instanceof Error ? error.message : String(error), key)
    }
  }

  /** Codecs of their own are known to those who use the map; of its values the checksum is looked at. */
  async #loadCodecs({ key, value, compress }: TableConfig): Promise<void> {
    if (KEY_CODECS.includes(key)) this.#keys = keyCodecOf(key as 'any') as KeyCodec<unknown>
    if (isSerializerName(value)) this.#serializer = await loadSerializer(value)
    if (compress !== 'none' && isCodec(compress)) this.#codec = await loadCodec(compress as 'gzip')
  }

  #say(code: string, message: string, key?: Uint8Array): void {
    this.#found.problems.push({
      map: this.#name,
      code,
      message,
      // As numbers: it goes through JSON.
      ...(key !== undefined && { key: [...key] as unknown as Uint8Array }),
    })
  }

  #report(): void {
    const now = performance.now()
    if (now - this.#reported < REPORT_MS) return
    this.#reported = now
    sendJson(PROGRESS, 0, this.#meter.read())
  }
}
