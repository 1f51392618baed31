export type { Codec, CompressionName, Serializer } from '../../types/codec.js'
export { CodecError } from '../base/errors.js'
export { codecOf, isCodec, loadCodec, registerCodec } from './compression.js'
