import type { Chunk } from 'millrace/run'

/** A square world of cells without an edge: what leaves it on one side comes in on the other. */
export interface World {
  readonly size: number
  readonly now: Uint8Array
  readonly next: Uint8Array
}

/** Conway's game of life, for the rows of one chunk. */
export function generation({ start, end }: Chunk, { size, now, next }: World): void {
  for (let y = start; y < end; y++) {
    for (let x = 0; x < size; x++) {
      let around = 0
      for (let i = 0; i < 9; i++) {
        const row = (y + size - 1 + Math.floor(i / 3)) % size
        const column = (x + size - 1 + (i % 3)) % size
        if (i !== 4) around += now[row * size + column] as number
      }
      next[y * size + x] = around === 3 || (around === 2 && now[y * size + x] === 1) ? 1 : 0
    }
  }
}
