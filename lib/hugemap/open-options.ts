import type { HugeMapOptions } from '../../types/hugemap.js'
import type { LocalStore } from '../../types/store.js'
import { checkSignal } from '../base/abort.js'
import { ArgumentError } from '../base/errors.js'
import type { Verify } from './record-coder.js'

const MIB = 2 ** 20
const MOST_NAME = 200

/** What a handle is opened with, but for the codecs; every option has its value. */
export interface OpenSettings {
  readonly name: string
  readonly create: boolean
  readonly readonly: boolean
  readonly verify: Verify
  readonly maxPendingBytes: number
  readonly maxValueBytes: number
  readonly signal: AbortSignal | undefined
}

/** Options that concern the folder, which has its own ideas of what is right; maps of the same folder inherit them. */
export type FolderOptions = Pick<
  HugeMapOptions<unknown, unknown>,
  'readonly' | 'writer' | 'durable' | 'lockTimeoutMs' | 'pageSize' | 'maxMaps'
>

/** Throws `MILL_INVALID_ARGUMENT`. */
export function openSettings(options: HugeMapOptions<never, never>): OpenSettings {
  if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', options)
  const { name = '', readonly = false, create = !readonly, verify = 'first' } = options
  const { maxPendingBytes = 64 * MIB, maxValueBytes = 256 * MIB } = options
  checkName(name, 'options.name')
  if (typeof readonly !== 'boolean') throw new ArgumentError('options.readonly', 'true or false', readonly)
  if (typeof create !== 'boolean') throw new ArgumentError('options.create', 'true or false', create)
  if (verify !== 'first' && verify !== 'always' && verify !== 'off') {
    throw new ArgumentError('options.verify', "'first', 'always' or 'off'", verify)
  }
  for (const [option, bytes] of Object.entries({ maxPendingBytes, maxValueBytes })) {
    if (!(typeof bytes === 'number' && bytes > 0)) {
      throw new ArgumentError(`options.${option}`, 'a number of bytes > 0', bytes)
    }
  }
  return {
    name,
    readonly,
    create: create && !readonly,
    verify,
    maxPendingBytes,
    maxValueBytes,
    signal: checkSignal(options.signal),
  }
}

/** The name of a map. Throws `MILL_INVALID_ARGUMENT`. */
export function checkName(name: unknown, argument: string): asserts name is string {
  if (typeof name === 'string' && new TextEncoder().encode(name).length <= MOST_NAME && !name.includes('\0')) return
  throw new ArgumentError(argument, `a string of at most ${MOST_NAME} bytes, without a zero byte`, name)
}

/** Only what was given: an option that is undefined has its default where it is read. */
export function folderOptions(options: FolderOptions): FolderOptions {
  const { readonly, writer, durable, lockTimeoutMs, pageSize, maxMaps } = options
  return {
    ...(readonly !== undefined && { readonly }),
    ...(writer !== undefined && { writer }),
    ...(durable !== undefined && { durable }),
    ...(lockTimeoutMs !== undefined && { lockTimeoutMs }),
    ...(pageSize !== undefined && { pageSize }),
    ...(maxMaps !== undefined && { maxMaps }),
  }
}

/** Is it a store, told by its shape? */
export function isLocalStore(value: unknown): value is LocalStore {
  const { table, write, refresh } = (value ?? {}) as Partial<LocalStore>
  return typeof table === 'function' && typeof write === 'function' && typeof refresh === 'function'
}
