/** The Castagnoli polynomial, bits reversed (RFC 3720, appendix B.4). Not the polynomial of zlib's crc32. */
const POLYNOMIAL = 0x82f63b78
/** Bytes that one round of table look-ups covers. */
const STRIDE = 16

/** Table k says what a byte does to the checksum when k more bytes follow it in the same round. Made on first use. */
let tables: Uint32Array[] | undefined

function makeTables(): Uint32Array[] {
  const first = new Uint32Array(256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0)
    first[byte] = crc
  }
  const all = [first]
  for (let k = 1; k < STRIDE; k++) {
    const before = all[k - 1] as Uint32Array
    all.push(Uint32Array.from(before, (crc) => (crc >>> 8) ^ (first[crc & 255] as number)))
  }
  return all
}

function inTables(data: Uint8Array, seed: number): number {
  tables ??= makeTables()
  const [t0, t1, t2, t3, t4, t5, t6, t7, t8, t9, t10, t11, t12, t13, t14, t15] = tables as [
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
  ]
  const at = (table: Uint32Array, index: number): number => table[index] as number
  let crc = ~seed
  let i = 0
  for (const end = data.length - STRIDE; i <= end; i += STRIDE) {
    const a =
      crc ^
      ((data[i] as number) |
        ((data[i + 1] as number) << 8) |
        ((data[i + 2] as number) << 16) |
        ((data[i + 3] as number) << 24))
    crc =
      at(t15, a & 255) ^
      at(t14, (a >>> 8) & 255) ^
      at(t13, (a >>> 16) & 255) ^
      at(t12, a >>> 24) ^
      at(t11, data[i + 4] as number) ^
      at(t10, data[i + 5] as number) ^
      at(t9, data[i + 6] as number) ^
      at(t8, data[i + 7] as number) ^
      at(t7, data[i + 8] as number) ^
      at(t6, data[i + 9] as number) ^
      at(t5, data[i + 10] as number) ^
      at(t4, data[i + 11] as number) ^
      at(t3, data[i + 12] as number) ^
      at(t2, data[i + 13] as number) ^
      at(t1, data[i + 14] as number) ^
      at(t0, data[i + 15] as number)
  }
  for (; i < data.length; i++) crc = (crc >>> 8) ^ at(t0, (crc ^ (data[i] as number)) & 255)
  return ~crc >>> 0
}

let implementation = inTables

/** CRC-32C of the data, 0 to 2^32-1. With the checksum of what came before as `seed`, of both together. */
export function crc32c(data: Uint8Array, seed = 0): number {
  return implementation(data, seed)
}

/** Replaces the implementation, by a native one where there is one; without an argument the tables are back. */
export function setCrc32c(fn: (data: Uint8Array, seed: number) => number = inTables): void {
  implementation = fn
}
