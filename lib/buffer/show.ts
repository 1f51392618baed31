/** Bytes of input an error shows at most. */
export const SHOWN = 32

/** Bytes for a message: printable ASCII as it is, all else escaped, so that no input can steer a terminal. */
export function show(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) {
    if (byte >= 32 && byte < 127 && byte !== 34 && byte !== 92) text += String.fromCharCode(byte)
    else text += `\\x${byte.toString(16).padStart(2, '0')}`
  }
  return `"${text}"`
}
