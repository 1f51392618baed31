import type { HugeMapOptions } from '../../types/hugemap.js'
import type { Store } from '../../types/store.js'
import { ArgumentError, StoreError } from '../base/errors.js'
import { codingOf } from './config.js'
import { KeyCoder } from './key-coder.js'
import { openSettings } from './open-options.js'
import { RemoteWriter } from './remote-writer.js'
import { ValueCodec } from './values.js'

/** What a handle is made of. */
export interface OpenedRemote<K, V> {
  readonly store: Store
  readonly writer: RemoteWriter<K, V>
  readonly name: string
  readonly readonly: boolean
}

/** Finds a map of a store, or makes it. Rejects as `RemoteMap.open` does. */
export async function openRemote<K, V>(store: Store, options: HugeMapOptions<K, V>): Promise<OpenedRemote<K, V>> {
  if (typeof (store as Partial<Store> | null)?.write !== 'function') throw new ArgumentError('store', 'a store', store)
  const settings = openSettings(options as HugeMapOptions<never, never>)
  for (const foreign of ['writer', 'durable', 'lockTimeoutMs', 'pageSize', 'maxMaps', 'maxPendingBytes'] as const) {
    if (options[foreign] === undefined) continue
    throw new ArgumentError(`options.${foreign}`, 'left out: it is for a folder', options[foreign])
  }
  const { name, create, readonly, verify, maxValueBytes, signal } = settings
  signal?.throwIfAborted()
  const where = { path: store.name, name }
  let table = await store.table(name)
  let coding = await codingOf(options, table?.config, where)
  if (table === undefined) {
    const missing = (what: string): StoreError => new StoreError('MILL_MAP_MISSING', `${store.name}: ${what}`, where)
    if (!create) throw missing(name === '' ? 'there is no map' : `there is no map '${name}'`)
    table = await store.table(name, coding.config)
    if (table === undefined) throw missing(`'${name}' was dropped`)
    coding = await codingOf(options, table.config, where)
  }
  signal?.throwIfAborted()
  const { serializer, codec, config } = coding
  const keys = new KeyCoder(coding.keys, store.capabilities.maxKeyBytes)
  const values = new ValueCodec<V>({ serializer, codec, checksum: config.checksum, maxValueBytes, ...where })
  const writer = new RemoteWriter<K, V>(store, table, keys, values, verify)
  return { store, writer, name, readonly }
}
