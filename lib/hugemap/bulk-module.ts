import { ArgumentError } from '../base/errors.js'

/** What `{ type: 'module' }` calls for each line. */
export type RecordFunction = (record: Uint8Array) => unknown

/** The function of this name in the module that a user has named. Rejects with `MILL_INVALID_ARGUMENT`. */
export async function loadRecordFunction(url: string, name: string): Promise<RecordFunction> {
  let exports: Record<string, unknown>
  try {
    exports = (await import(url)) as Record<string, unknown>
  } catch (cause) {
    const error = new ArgumentError('options.format.url', 'a module that can be imported', url)
    Object.defineProperty(error, 'cause', { value: cause, configurable: true, writable: true })
    throw error
  }
  const record = exports[name]
  if (typeof record === 'function') return record as RecordFunction
  throw new ArgumentError('options.format.name', `the name of a function that ${url} exports`, name)
}
