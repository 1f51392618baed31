import { renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { StoreError } from '../base/errors.js'
import { asideName, fileTag, sweepAside, syncFolderSync } from './folder-files.js'
import { type Environment, openEnvironment } from './lmdb-environment.js'
import { storeFault } from './look.js'

/** Enough for any folder: this is not where maps are made. */
export const MOST_MAPS = 1024

/**
 * Puts the finished folder `made` where `path` is, and removes the old one. Writers of the old one wait while it
 * happens, and find afterwards that it is not theirs any more (`MILL_MAP_REPLACED`); who reads it reads on. Waits,
 * blocking, for the old folder's write lock: for side processes only. A process killed on the way leaves the old folder
 * or the new one there, at the latest when it is opened next.
 */
export async function swapFolders(path: string, made: string): Promise<void> {
  await underLock(path, () => exchange(path, made))
}

/**
 * Runs `work`, which puts another folder at `path`, with the write lock of the one that is there; then removes that one.
 */
export async function underLock<R>(path: string, work: (env: Environment) => R): Promise<R> {
  for (;;) {
    const file = fileTag(path)
    const env = await openEnvironment(path, { readonly: false, maxMaps: MOST_MAPS, expendable: true })
    let result: { value: R } | undefined
    try {
      result = env.transact(() => {
        // Somebody else may have swapped it while we were waiting.
        if (fileTag(path) !== file) return undefined
        return { value: work(env) }
      })
    } finally {
      await env.close()
    }
    if (result === undefined) continue
    sweepOld(path)
    return result.value
  }
}

/** Two renames. The write lock of `path` must be ours. */
export function exchange(path: string, made: string): void {
  const old = asideName(path, 'old')
  try {
    renameSync(path, old)
  } catch (error) {
    throw storeFault(path, error)
  }
  try {
    renameSync(made, path)
  } catch (error) {
    putBack(path, old, error)
    throw storeFault(path, error)
  }
  syncFolderSync(dirname(path))
  mine.add(old)
}

function putBack(path: string, old: string, cause: unknown): void {
  try {
    renameSync(old, path)
  } catch {
    // Somebody has made a new folder in between, and may have written to it.
    const message = `${path} could not be replaced, and a new map has appeared there; the one before it is now ${old}`
    throw new StoreError('MILL_MAP_EXISTS', message, { path, old, cause })
  }
}

/** Folders that this process has moved away. */
const mine = new Set<string>()

function sweepOld(path: string): void {
  for (const old of mine) {
    try {
      rmSync(old, { recursive: true, force: true })
      mine.delete(old)
    } catch {
      // The next one to sweep will.
    }
  }
  sweepAside(path)
}
