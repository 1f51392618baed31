import fs from 'node:fs'
import { dirname } from 'node:path'
import { promisify } from 'node:util'

/** What is asked of the file system for shards. A table, so that tests can make the n-th call of any of them fail. */
export interface FileOps {
  open(path: string, flags: number, mode?: number): Promise<number>
  /** Size in bytes, and whether it is a regular file. */
  fstat(fd: number): Promise<{ readonly size: number; readonly isFile: boolean }>
  /** Bytes read, 0 at the end. */
  read(fd: number, target: Uint8Array, at: number, length: number, position: number): Promise<number>
  readSync(fd: number, target: Uint8Array, at: number, length: number, position: number): number
  /** Bytes written; fewer mean that the next call fails. */
  write(fd: number, bytes: Uint8Array, at: number, length: number, position: number): Promise<number>
  fdatasync(fd: number): Promise<void>
  /** Of a folder: its names. To ext4 those are no data, and `fdatasync` leaves them out. */
  fsync(fd: number): Promise<void>
  close(fd: number): Promise<void>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  /** Names in a folder. */
  readdir(path: string): Promise<string[]>
  /** Undefined: nothing is there. A link is not followed. */
  lstat(
    path: string,
  ): Promise<{ readonly size: number; readonly isFile: boolean; readonly isFolder: boolean } | undefined>
}

/** The file system of Node. */
export const nodeFiles: FileOps = {
  open: promisify(fs.open) as FileOps['open'],
  fstat(fd) {
    return new Promise((resolve, reject) => {
      fs.fstat(fd, (error, status) => {
        if (error !== null) reject(error)
        else resolve({ size: status.size, isFile: status.isFile() })
      })
    })
  },
  read(fd, target, at, length, position) {
    return new Promise((resolve, reject) => {
      fs.read(fd, target, at, length, position, (error, read) => {
        if (error !== null) reject(error)
        else resolve(read)
      })
    })
  },
  readSync: fs.readSync,
  write(fd, bytes, at, length, position) {
    return new Promise((resolve, reject) => {
      fs.write(fd, bytes, at, length, position, (error, written) => {
        if (error !== null) reject(error)
        else resolve(written)
      })
    })
  },
  fdatasync: promisify(fs.fdatasync),
  fsync: promisify(fs.fsync),
  close: promisify(fs.close),
  rename: promisify(fs.rename),
  unlink: promisify(fs.unlink),
  readdir: promisify(fs.readdir) as FileOps['readdir'],
  async lstat(path) {
    const status = await fs.promises.lstat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    return status && { size: status.size, isFile: status.isFile(), isFolder: status.isDirectory() }
  },
}

/** Only what is there, never through a link, and without waiting for the other end of a pipe. */
export const OPEN_TO_READ = fs.constants.O_RDONLY | (fs.constants.O_NOFOLLOW ?? 0) | (fs.constants.O_NONBLOCK ?? 0)
/** Only what is not there; read back while it is written. */
export const OPEN_NEW =
  fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL | (fs.constants.O_NOFOLLOW ?? 0)
/** Of new shards, less the umask. */
export const SHARD_MODE = 0o666

/**
 * Gives a finished file its name. `sync`: the name is on the disk when this resolves; without, a power cut could take
 * the name of a file that is there, and leave a catalog that knows it. If that fails the name is taken back.
 */
export async function nameFile(files: FileOps, from: string, to: string, sync: boolean): Promise<void> {
  await files.rename(from, to)
  // Windows can't open a folder, and doesn't need this.
  if (!sync || process.platform === 'win32') return
  try {
    const folder = await files.open(dirname(to), fs.constants.O_RDONLY)
    try {
      await files.fsync(folder)
    } finally {
      await files.close(folder)
    }
  } catch (error) {
    // What it was about is the first error; a file that stays is swept away, for no book knows it.
    await files.unlink(to).catch(() => {})
    throw error
  }
}

/** Bytes one call moves at most, so that others get their turn. */
const MOST_AT_ONCE = 1_048_576

/** Fills `target` from `position` on; returns how many bytes there were. */
export async function readFully(files: FileOps, fd: number, target: Uint8Array, position: number): Promise<number> {
  let done = 0
  while (done < target.length) {
    const length = Math.min(MOST_AT_ONCE, target.length - done)
    const read = await files.read(fd, target, done, length, position + done)
    if (read === 0) break
    done += read
  }
  return done
}

/** Writes all of `bytes`. A short count says that something is wrong; what it is, only the next call tells. */
export async function writeFully(files: FileOps, fd: number, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const length = Math.min(MOST_AT_ONCE, bytes.length - done)
    const written = await files.write(fd, bytes, done, length, position + done)
    if (written === 0) throw new Error('nothing was written')
    done += written
  }
}
