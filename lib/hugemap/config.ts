import type { Codec, CompressionName, Serializer } from '../../types/codec.js'
import type { KeyCodecName, MapOptions, SerializerName } from '../../types/hugemap.js'
import type { KeyCodec } from '../../types/key.js'
import type { TableConfig } from '../../types/store.js'
import { ArgumentError, StoreError } from '../base/errors.js'
import { loadCodec } from '../codec/index.js'
import { keyCodecOf } from '../codec/keys.js'
import { isSerializerName, loadSerializer, type PlacedSerializer } from '../codec/serializer.js'

/** A {@link TableConfig} and the codecs that it names. */
export interface Coding<K, V> {
  readonly config: TableConfig
  readonly keys: KeyCodec<K>
  readonly serializer: PlacedSerializer<V>
  /** Undefined: values are not compressed. */
  readonly codec: Codec | undefined
}

const KEY_NAMES: readonly string[] = ['any', 'string', 'bytes', 'u64']

/**
 * The codecs of a map: as it was made (`found`) if it is there, else as the options say. Rejects with
 * `MILL_MAP_MISMATCH` for options that are given and differ from `found`, and for a codec it names that is neither
 * built in nor given; with `MILL_INVALID_ARGUMENT`, `MILL_CODEC_UNKNOWN`, `MILL_CODEC_MISSING` as the codecs do.
 */
export async function codingOf<K, V>(
  options: MapOptions<K, V>,
  found: TableConfig | undefined,
  where: { readonly path: string; readonly name: string },
): Promise<Coding<K, V>> {
  const { key, value, compress, checksum } = options
  if (checksum !== undefined && typeof checksum !== 'boolean') {
    throw new ArgumentError('options.checksum', 'true or false', checksum)
  }
  const keys = key === undefined ? undefined : keyCodecOf(key)
  const serializer = value === undefined ? undefined : await loadSerializer(value)
  const codec = compress === undefined ? undefined : await compressionOf(compress)
  const config: TableConfig = {
    key: keys?.name ?? found?.key ?? 'any',
    value: serializer?.name ?? found?.value ?? 'msgpack',
    compress: codec?.name ?? found?.compress ?? 'none',
    checksum: checksum ?? found?.checksum ?? true,
  }
  if (found !== undefined) checkConfig(config, found, where)
  return {
    config,
    keys: keys ?? (await named(config.key, KEY_NAMES.includes(config.key), 'key', where, keyCodecOf<K>)),
    serializer:
      serializer ?? (await named(config.value, isSerializerName(config.value), 'value', where, loadSerializer<V>)),
    codec: config.compress === 'none' ? undefined : (codec ?? (await compressionOf(config.compress))),
  }
}

/** Throws `MILL_MAP_MISMATCH` if a map that is there (`found`) was made in another way than is wanted. */
export function checkConfig(
  wanted: TableConfig,
  found: TableConfig,
  where: { readonly path: string; readonly name: string },
): void {
  for (const field of ['key', 'value', 'compress', 'checksum'] as const) {
    if (wanted[field] !== found[field]) throw mismatch(where, field, wanted[field], found[field])
  }
}

function mismatch(
  { path, name }: { readonly path: string; readonly name: string },
  field: string,
  expected: unknown,
  found: unknown,
): StoreError {
  const what = `${name === '' ? 'The map' : `The map '${name}'`} was made with ${field}: ${String(found)}`
  const message = `${what}, not ${String(expected)}`
  return new StoreError('MILL_MAP_MISMATCH', message, { path, map: name, field, expected, found })
}

/** A codec that the map's own description names. */
async function named<T>(
  name: string,
  isBuiltIn: boolean,
  field: string,
  where: { readonly path: string; readonly name: string },
  load: (name: never, argument?: string) => T | Promise<T>,
): Promise<T> {
  if (!isBuiltIn) throw mismatch(where, field, 'a built-in one: give the codec', name)
  return load(name as never)
}

async function compressionOf(compress: CompressionName | Codec): Promise<Codec> {
  if (typeof compress === 'string') return loadCodec(compress)
  const own = compress as Partial<Codec> | null
  if (
    typeof own === 'object' &&
    typeof own?.name === 'string' &&
    typeof own.encode === 'function' &&
    typeof own.decode === 'function'
  ) {
    return own as Codec
  }
  throw new ArgumentError('options.compress', 'the name of a compression or a codec', compress)
}

/** Can these options be sent to another process, which knows built-in codecs only? */
export function isPortable(options: {
  key?: KeyCodecName | KeyCodec<never>
  value?: SerializerName | Serializer<never>
  compress?: CompressionName | Codec
}): boolean {
  return typeof options.key !== 'object' && typeof options.value !== 'object' && typeof options.compress !== 'object'
}
