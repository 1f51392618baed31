import { type AnyBytes, Bytes } from 'millrace'
import { Nil, RespAttributed, RespError, RespMap, RespPush, RespSet, type RespValue, RespVerbatim } from './values.js'

/** A command and its arguments as a client sends them: an array of bulk strings. */
export function command(...words: (AnyBytes | number)[]): Bytes {
  const parts: AnyBytes[] = [`*${words.length}\r\n`]
  for (const word of words) pushString(parts, '$', Bytes.from(typeof word === 'number' ? String(word) : word))
  return Bytes.merge(parts)
}

/**
 * Any value as it goes over the wire; bulk strings are pointed at. Version 2 of the protocol knows fewer types: there
 * maps and sets become arrays, booleans integers, doubles and big numbers strings, and attributes are left out.
 */
export function encode(value: RespValue, version: 2 | 3 = 3): Bytes {
  const parts: AnyBytes[] = []
  push(parts, value, version === 3)
  return Bytes.merge(parts)
}

function push(parts: AnyBytes[], value: RespValue, three: boolean): void {
  if (value instanceof Nil) parts.push(three ? '_\r\n' : '$-1\r\n')
  else if (value instanceof Bytes) pushString(parts, '$', value)
  else if (typeof value === 'string') pushLine(parts, '+', '$', value)
  else if (value instanceof RespError) pushLine(parts, '-', three ? '!' : '-', value.message)
  else if (typeof value === 'boolean') parts.push(three ? `#${value ? 't' : 'f'}\r\n` : `:${value ? 1 : 0}\r\n`)
  else if (typeof value === 'number') pushNumber(parts, value, three)
  else if (typeof value === 'bigint')
    three ? parts.push(`(${value}\r\n`) : pushString(parts, '$', Bytes.from(`${value}`))
  else if (value instanceof RespVerbatim) {
    if (three) pushString(parts, '=', Bytes.merge([`${value.format}:`, value.text]))
    else pushString(parts, '$', value.text)
  } else if (value instanceof RespAttributed) {
    if (three) pushItems(parts, '|', value.attributes.entries.length, value.attributes.entries.flat(), three)
    push(parts, value.value, three)
  } else if (value instanceof RespMap) {
    const count = value.entries.length
    pushItems(parts, three ? '%' : '*', three ? count : count * 2, value.entries.flat(), three)
  } else if (value instanceof RespSet) pushItems(parts, three ? '~' : '*', value.items.length, value.items, three)
  else if (value instanceof RespPush) pushItems(parts, three ? '>' : '*', value.items.length, value.items, three)
  else pushItems(parts, '*', value.length, value, three)
}

function pushItems(parts: AnyBytes[], type: string, count: number, items: RespValue[], three: boolean): void {
  parts.push(`${type}${count}\r\n`)
  for (const item of items) push(parts, item, three)
}

function pushString(parts: AnyBytes[], type: string, body: Bytes): void {
  parts.push(`${type}${body.length}\r\n`, body, '\r\n')
}

/** Text in a line of its own; with a line end in it, it has to go with its length. */
function pushLine(parts: AnyBytes[], type: string, withLength: string, text: string): void {
  if (!text.includes('\r') && !text.includes('\n')) parts.push(`${type}${text}\r\n`)
  else if (withLength === type) parts.push(`${type}${text.replaceAll('\r', ' ').replaceAll('\n', ' ')}\r\n`)
  else pushString(parts, withLength, Bytes.from(text))
}

function pushNumber(parts: AnyBytes[], value: number, three: boolean): void {
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
    parts.push(`:${value}\r\n`)
    return
  }
  const text = Number.isNaN(value) ? 'nan' : Object.is(value, -0) ? '-0' : String(value).replace('Infinity', 'inf')
  if (three) parts.push(`,${text}\r\n`)
  else pushString(parts, '$', Bytes.from(text))
}
