import { statSync } from 'node:fs'
import type { BulkArguments } from './bulk-frames.js'
import { unreadable } from './bulk-input.js'
import type { ParsePlan, Piece } from './bulk-messages.js'

/** Bytes of a piece: large enough to be sorted well, small enough that all threads have some. */
const MOST_PIECE = 67_108_864
const LEAST_PIECE = 1_048_576
/** Pieces that each thread should have, so that none waits long for the last. */
const PIECES_PER_THREAD = 4
/** Bytes of records that are sorted at a time. */
const MOST_RUN = 67_108_864
const LEAST_RUN = 131_072
/** Bytes that are read at a time. */
const MOST_BLOCK = 4_194_304
const LEAST_BLOCK = 65_536

/** What the end of a name says about how a file is packed. */
const PACKINGS = { '.gz': 'gzip', '.br': 'br', '.zst': 'zstd' } as const

/** How the file of this name is packed; undefined: it is not. */
export function packingOf(file: string): 'gzip' | 'br' | 'zstd' | undefined {
  const lower = file.toLowerCase()
  for (const [end, packing] of Object.entries(PACKINGS)) if (lower.endsWith(end)) return packing
  return undefined
}

/** Bytes of runs that are kept in memory: half of it. The threads share the other half, in which they hold records twice. */
export function keptBytes({ memory, keptBytes }: BulkArguments): number {
  return keptBytes ?? Math.floor(memory / 2)
}

/** How the threads parse. */
export function parsePlan(args: BulkArguments): ParsePlan {
  const { config, format, duplicates, skipBad, sorted, maxKeyBytes, maxValueBytes, path, name, memory, threads } = args
  const share = Math.floor(memory / (4 * threads))
  const runBytes = args.runBytes ?? Math.min(MOST_RUN, Math.max(LEAST_RUN, share))
  return {
    config,
    format,
    duplicates,
    skipBad,
    sorted,
    maxKeyBytes,
    maxValueBytes,
    runBytes: runBytes & ~3,
    blockBytes: Math.min(MOST_BLOCK, Math.max(LEAST_BLOCK, runBytes)) & ~3,
    path,
    name,
  }
}

/**
 * The input in pieces, in its order. Files of lines that are not packed are cut; all else is one piece a file, as is what
 * is sent. Throws `MILL_SOURCE_FAILED`.
 */
export function planPieces(args: BulkArguments): Piece[] {
  const { files, format, threads } = args
  if (files === undefined) return [{ index: 0, input: 0, from: 0, to: Number.MAX_SAFE_INTEGER }]
  const sizes = files.map(sizeOf)
  const total = sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0)
  const share = Math.ceil(total / (threads * PIECES_PER_THREAD))
  const pieceBytes = args.pieceBytes ?? Math.min(MOST_PIECE, Math.max(LEAST_PIECE, share))
  const pieces: Piece[] = []
  files.forEach((file, i) => {
    const size = sizes[i]
    const packing = packingOf(file)
    const whole = packing !== undefined || size === undefined || format.type === 'bin'
    let from = 0
    do {
      const next = whole ? Number.MAX_SAFE_INTEGER : from + pieceBytes
      const last = whole || next >= (size as number)
      pieces.push({
        index: pieces.length,
        input: i,
        file,
        from,
        to: last ? Number.MAX_SAFE_INTEGER : next,
        ...(size !== undefined && { size }),
        ...(packing !== undefined && { packing }),
      })
      from = last ? Number.MAX_SAFE_INTEGER : next
    } while (from < Number.MAX_SAFE_INTEGER)
  })
  return pieces
}

/** Bytes of a regular file; undefined for what has no size, like a pipe. */
function sizeOf(file: string): number | undefined {
  let status: ReturnType<typeof statSync>
  try {
    status = statSync(file)
  } catch (cause) {
    throw unreadable(file, cause)
  }
  if (status?.isDirectory()) throw unreadable(file, new Error('it is a folder'))
  return status?.isFile() ? status.size : undefined
}
