import type { Chunk } from 'millrace/run'

export function fill({ start, end }: Chunk, { out }: { out: Float64Array }): void {
  for (let i = start; i < end; i++) out[i] = (i + 1) ** 2
}
