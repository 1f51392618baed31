import { realpathSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { ArgumentError } from '../base/errors.js'

/** Links on the way to a folder are resolved once, here; it need not be there. Throws `MILL_INVALID_ARGUMENT`. */
export function realPath(where: string): string {
  if (typeof where !== 'string' || where === '') throw new ArgumentError('path', 'the path of a folder', where)
  return real(resolve(where))
}

function real(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    const above = dirname(path)
    return above === path ? path : join(real(above), basename(path))
  }
}
