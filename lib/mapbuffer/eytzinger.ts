/**
 * The order of the rows of an index. Row k, counted from 1, has the children 2k and 2k + 1; ranks count the labels from
 * the least, which is 0. Arithmetic is by multiplication where numbers may pass 2^31.
 */

/** For each row, from row 1 at index 0, its rank. 8 ns a row. */
export function ranksInRowOrder(n: number): Uint32Array {
  const ranks = new Uint32Array(n)
  let row = firstRow(n)
  for (let rank = 0; rank < n; rank++) {
    ranks[row - 1] = rank
    row = nextRow(row, n)
  }
  return ranks
}

/** The row of the least label; 0 where there is none. */
export function firstRow(n: number): number {
  return n === 0 ? 0 : 2 ** heightOf(n)
}

/** The row of the greatest label; 0 where there is none. */
export function lastRow(n: number): number {
  // The rightmost row of the last level that is full.
  return n === 0 ? 0 : 2 ** heightOf(n + 1) - 1
}

/** The row of the next greater label; 0 behind the last. A walk over all rows takes two steps a row on average. */
export function nextRow(row: number, n: number): number {
  let k = 2 * row + 1
  if (k <= n) {
    while (2 * k <= n) k *= 2
    return k
  }
  k = row
  while (k % 2 === 1) k = (k - 1) / 2
  return k / 2
}

/** The row of the next smaller label; 0 before the first. */
export function previousRow(row: number, n: number): number {
  let k = 2 * row
  if (k <= n) {
    while (2 * k + 1 <= n) k = 2 * k + 1
    return k
  }
  k = row
  while (k % 2 === 0) k /= 2
  return (k - 1) / 2
}

/** floor(log2(n)) for 1 <= n <= 2^32. */
function heightOf(n: number): number {
  return n >= 2 ** 32 ? 32 : 31 - Math.clz32(n)
}
