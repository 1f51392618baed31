import { randomBytes } from 'node:crypto'

const SHARD = 'shd'
const TEMPORARY = 'tmp'
const TOKEN_DIGITS = 16
const DECIMAL = '0123456789'
const HEX = `${DECIMAL}abcdef`

/** What the name of a file in the folder of shards says. */
export interface ShardName {
  /** Index of the first item. */
  readonly start: number
  /** Counts up over the whole dataset, so that no name is ever used twice. */
  readonly gen: number
  /** Of the lease it is made under, where it is not finished. */
  readonly token?: string
}

/** A file in use: `<start>.<gen>.shd`. */
export function shardName(start: number, gen: number): string {
  return `${start}.${gen}.${SHARD}`
}

/** A file in work: `<start>.<gen>.<token>.tmp`. */
export function temporaryName(start: number, gen: number, token: string): string {
  return `${start}.${gen}.${token}.${TEMPORARY}`
}

/** 16 hexadecimal digits that nobody has used before. */
export function newToken(): string {
  return randomBytes(TOKEN_DIGITS / 2).toString('hex')
}

/** What a name says; undefined unless it is exactly of one of the two forms: no other file is ever opened or removed. */
export function parseShardName(name: string): ShardName | undefined {
  const parts = name.split('.')
  const start = wholeOf(parts[0])
  const gen = wholeOf(parts[1])
  if (start === undefined || gen === undefined) return undefined
  if (parts.length === 3 && parts[2] === SHARD) return { start, gen }
  const token = parts[2] ?? ''
  const isToken = token.length === TOKEN_DIGITS && isMadeOf(token, HEX)
  return parts.length === 4 && parts[3] === TEMPORARY && isToken ? { start, gen, token } : undefined
}

/** The number that is written so, and in no other way. */
function wholeOf(text = ''): number | undefined {
  if (text === '' || text.length > 16 || !isMadeOf(text, DECIMAL)) return undefined
  const number = Number(text)
  return Number.isSafeInteger(number) && String(number) === text ? number : undefined
}

function isMadeOf(text: string, digits: string): boolean {
  for (const digit of text) if (!digits.includes(digit)) return false
  return true
}
