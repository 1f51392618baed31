export type {
  ByteCursor,
  ByteEntry,
  ByteRange,
  DirectWrites,
  LocalSnapshot,
  LocalStore,
  LocalTable,
  Operation,
  Operations,
  ScanOptions,
  Store,
  StoreCapabilities,
  StoreLease,
  StoreStats,
  StoreTable,
  TableConfig,
} from '../../types/store.js'
export { isMillraceError, MillraceError, StoreError } from '../base/errors.js'
export { memoryStore } from './memory.js'
export { redisStore } from './redis.js'
export type { RedisOptions } from './redis-client.js'
