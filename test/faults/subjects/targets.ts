import { chunkedBody } from '../../../examples/http-chunked/chunked-body.js'
import { lengthPrefixed } from '../../../examples/length-prefixed/length-prefixed.js'
import { replies } from '../../../examples/resp/parser.js'
import { messages } from '../../../examples/toy-message/messages.js'
import { isMillraceError } from '../../../lib/index.js'
import { openShard } from '../../../lib/loadit/shard-open.js'
import { IntMap, loadCodec } from '../../../lib/mapbuffer/index.js'
import { readByMap, readByParser } from '../../fixtures/damage.js'
import { runOfParser, showBytes } from '../../fixtures/protocol-support.js'
import { newKit, oneFile } from '../../fixtures/shard-kit.js'

/** What is made of an input: the same for the same bytes, whatever the pieces. Throws what must not be thrown. */
export type Reading = (pieces: readonly Uint8Array[]) => unknown

/** Something that reads bytes of strangers. */
export interface Target {
  /** How many inputs a run before a merge tries. */
  readonly inputs: number
  /** It cares for pieces, so that other cuts are a test. */
  readonly cuts: boolean
  make(): Promise<Reading>
}

const whole = (pieces: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(pieces))

/** The value, or the code of an error of ours. */
function ours<T>(work: () => T): T | string {
  try {
    return work()
  } catch (error) {
    if (isMillraceError(error)) return error.code
    throw error
  }
}

const parser = (make: () => Reading): Target => ({ inputs: 200_000, cuts: true, make: async () => make() })

const codec = (name: string): Target => ({
  inputs: 50_000,
  cuts: false,
  async make() {
    const { decode } = await loadCodec(name)
    return (pieces) => ours(() => decode(whole(pieces), 100_000).length)
  },
})

/** By name, which is the name of a folder in test/corpus, too. */
export const TARGETS: Record<string, Target> = {
  resp: parser(() => runOfParser(replies, String)),
  toy: parser(() => runOfParser(messages, showBytes)),
  u32: parser(() => runOfParser(lengthPrefixed(), showBytes)),
  varint: parser(() => runOfParser(lengthPrefixed({ prefix: 'varint' }), showBytes)),
  chunked: parser(() => runOfParser(chunkedBody(), showBytes)),
  mapbuffer: {
    inputs: 50_000,
    cuts: false,
    async make() {
      return async (pieces) => {
        const bytes = whole(pieces)
        for (const strict of [false, true]) refuseForeign(readByMap(bytes, strict))
        const parsed = await readByParser(bytes, 7)
        refuseForeign(parsed)
        return parsed.entries.length
      }
    },
  },
  intmap: {
    inputs: 100_000,
    cuts: false,
    make: async () => (pieces) => ours(() => [...new IntMap(whole(pieces))].length),
  },
  shard: {
    inputs: 30_000,
    cuts: false,
    async make() {
      const { files, ...one } = oneFile()
      const state = Object.assign(one, { files })
      const kit = await newKit<unknown>({ files: state.files })
      return async (pieces) => readShard(kit, state, whole(pieces))
    },
  },
  gzip: codec('gzip'),
  br: codec('br'),
  zstd: codec('zstd'),
}

function refuseForeign({ error, faults }: { error: unknown; faults: readonly unknown[] }): void {
  for (const one of [error, ...faults]) if (one !== undefined && !isMillraceError(one)) throw one
}

async function readShard(
  kit: Awaited<ReturnType<typeof newKit>>,
  one: { bytes: Uint8Array },
  bytes: Uint8Array,
): Promise<unknown> {
  one.bytes = bytes
  try {
    const reader = await openShard(kit, 'of bytes', 0)
    const found: unknown[] = []
    for (let i = 0; i < Math.min(50, reader.count); i++) {
      try {
        found.push(typeof (await reader.get(i)))
      } catch (error) {
        if (!isMillraceError(error)) throw error
        found.push(error.code)
      }
    }
    reader.close()
    return found
  } catch (error) {
    if (isMillraceError(error)) return error.code
    throw error
  }
}

/** A parser with a bug: it believes a length before its bytes have come. For the control. */
export const CARELESS: Target = {
  inputs: 20_000,
  cuts: false,
  make: async () => (pieces) => {
    const bytes = whole(pieces)
    const view = new DataView(bytes.buffer)
    const frames: number[] = []
    for (let at = 0; at + 4 <= bytes.length; ) {
      const length = view.getUint32(at)
      // Right for every length but those that nobody sends: the sum is one of 32 bits.
      if (((at + 4 + length) | 0) > bytes.length) return 'MILL_UNEXPECTED_END'
      frames.push(new Uint8Array(bytes.buffer, at + 4, length).length)
      at += 4 + length
    }
    return frames
  },
}
