import { ArgumentError, CodecError } from '../base/errors.js'

/** `MILL_DECOMPRESS`: the bytes are not one whole value as this codec makes them. */
export function notDecodable(codec: string, why: string, cause?: unknown): CodecError {
  return new CodecError('MILL_DECOMPRESS', `${codec}: ${why}`, { codec, ...(cause !== undefined && { cause }) })
}

/** `MILL_TOO_LARGE`: more would come out than allowed. `length`: how much, where the data says so. */
export function tooLarge(codec: string, limit: number, length?: number): CodecError {
  const what = length === undefined ? `more than ${limit} bytes` : `${length} bytes, more than ${limit},`
  return new CodecError('MILL_TOO_LARGE', `${codec}: the data decodes to ${what} which is the limit`, {
    codec,
    limit,
    ...(length !== undefined && { length }),
  })
}

/** `MILL_CODEC_MISSING`: the codec has no implementation here; where a package would be one, it is named. */
export function missing(codec: string, packageName?: string, cause?: unknown): CodecError {
  const way = packageName === undefined ? 'call' : `install ${packageName}, or call`
  return new CodecError('MILL_CODEC_MISSING', `${codec} is not available here: ${way} registerCodec('${codec}', …)`, {
    codec,
    ...(packageName !== undefined && { package: packageName }),
    ...(cause !== undefined && { cause }),
  })
}

/** The level asked for, or the codec's own. Throws `MILL_INVALID_ARGUMENT` outside `least` to `most`. */
export function checkLevel(level: unknown, usual: number, least: number, most: number): number {
  if (level === undefined) return usual
  if (typeof level === 'number' && Number.isInteger(level) && level >= least && level <= most) return level
  throw new ArgumentError('options.level', `a whole number from ${least} to ${most}`, level)
}

/** Throws `MILL_INVALID_ARGUMENT` unless it is a number of bytes. */
export function checkLimit(maxLength: unknown): number {
  if (typeof maxLength === 'number' && maxLength >= 0) return maxLength
  throw new ArgumentError('maxLength', 'a number of bytes >= 0', maxLength)
}
