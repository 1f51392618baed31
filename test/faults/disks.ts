import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Lab } from './lab.js'

/** What the mechanics that make disks need. */
export const DISK_TOOLS = ['mount', 'umount', 'mkfs.ext4', 'truncate', 'cp', 'cmp'] as const

/** A file system that is mounted. */
export interface Disk {
  readonly path: string
  unmount(): void
}

const run = (program: string, ...args: string[]): void => {
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'] })
}

function mounted(lab: Lab, path: string, args: readonly string[]): Disk {
  mkdirSync(path, { recursive: true })
  run('mount', ...args, path)
  return { path, unmount: lab.undo.add(() => unmount(path)) }
}

/** A process that is just ending may still have a file open: tried again for a second, then let go of lazily. */
function unmount(path: string): void {
  for (let left = 20; left > 0; left--) {
    try {
      run('umount', path)
      return
    } catch {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
    }
  }
  run('umount', '-l', path)
}

/** A disk in memory. */
export function tmpfs(lab: Lab, megabytes: number): Disk {
  return mounted(lab, lab.newFolder(), ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=700`, 'tmpfs'])
}

/** An ext4 file system in a file, and what a power cut would leave of it. */
export interface Image extends Disk {
  /**
   * The image as it is now, mounted elsewhere; undefined if it changed while it was copied, which is no state that a
   * power cut can leave.
   */
  crash(): Disk | undefined
}

/** An ext4 disk whose image lies in this folder, which should be in memory. */
export function ext4(lab: Lab, where: string, megabytes: number): Image {
  const image = join(where, 'image')
  const copy = join(where, 'crash')
  run('truncate', '-s', `${megabytes}M`, image)
  // Without root's share: full is full for everyone.
  run('mkfs.ext4', '-q', '-m0', image)
  const disk = mounted(lab, lab.newFolder(), ['-o', 'loop', image])
  const at = lab.newFolder()
  return {
    path: disk.path,
    unmount() {
      disk.unmount()
      rmSync(image)
    },
    crash() {
      run('cp', '--sparse=always', image, copy)
      try {
        run('cmp', '-s', image, copy)
      } catch {
        rmSync(copy)
        return undefined
      }
      // Mounting replays the journal, as it would after the power is back.
      const after = mounted(lab, at, ['-o', 'loop', copy])
      return {
        path: at,
        unmount() {
          after.unmount()
          rmSync(copy)
        },
      }
    },
  }
}
