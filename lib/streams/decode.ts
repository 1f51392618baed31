import { latin1 } from '../base/bytes.js'
import { ArgumentError } from '../base/errors.js'

/**
 * A decoder that keeps characters whole across pieces; called without pieces it gives what is left at the end.
 * Knows Node's names: utf8, utf-16le (ucs2) and latin1 (binary).
 */
export function decoderOf(encoding: string): (pieces: Uint8Array[] | undefined) => string {
  switch (String(encoding).toLowerCase()) {
    case 'utf8':
    case 'utf-8':
      return textDecoder('utf-8')
    case 'utf16le':
    case 'utf-16le':
    case 'ucs2':
    case 'ucs-2':
      return textDecoder('utf-16le')
    case 'latin1':
    case 'binary':
      return (pieces = []) => pieces.map((piece) => latin1(piece)).join('')
    default:
      throw new ArgumentError('encoding', "'utf8', 'utf16le' or 'latin1'", encoding)
  }
}

function textDecoder(label: string): (pieces: Uint8Array[] | undefined) => string {
  const decoder = new TextDecoder(label, { ignoreBOM: true })
  return (pieces) => {
    if (pieces === undefined) return decoder.decode()
    let text = ''
    // Some decoders refuse shared memory: such pieces are copied.
    for (const piece of pieces) {
      text += decoder.decode(piece.buffer instanceof ArrayBuffer ? piece : piece.slice(), { stream: true })
    }
    return text
  }
}
