import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { concatBytes } from '../base/bytes.js'
import { FrameReader, frameHead } from './frames.js'

/** Up to here a body is copied to be sent together with its head. */
const COPIED = 65_536
/** Bytes kept of what a side process says on its standard error. */
const TAIL = 2048

/** How a side process ended. */
export interface SideEnd {
  readonly exitCode: number | null
  readonly signal: string | null
  /** It could not be started. */
  readonly error?: unknown
  /** The last it said on its standard error. */
  readonly words: string
}

export interface SideEvents {
  frame(type: number, sequence: number, body: Uint8Array): void
  /** Once, after its last frame. */
  end(how: SideEnd): void
}

/**
 * This process' end of a side process: a Node process of its own that may die. It is started without a shell, without
 * `NODE_OPTIONS` and without flags of ours, reads frames from its standard input and writes frames to its standard
 * output. It does not keep this process alive unless told to.
 */
export class SideChild {
  /** It has ended, all its frames were handed out. */
  readonly ended: Promise<void>
  readonly pid: number | undefined
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable> | undefined
  #over = false
  /** Our process lives as long as it, as it does with any child at first. */
  #held = true
  #words = ''

  /**
   * @param program the file to run
   * @param args what it gets to start with, as JSON
   */
  constructor(program: URL, args: object, events: SideEvents) {
    let isOver: () => void = () => {}
    this.ended = new Promise((resolve) => {
      isOver = resolve
    })
    const end = (exitCode: number | null, signal: string | null, error?: unknown): void => {
      if (this.#over) return
      this.#over = true
      const words = this.#words.trim()
      events.end({ exitCode, signal, words, ...(error !== undefined && { error }) })
      isOver()
    }
    try {
      const child = spawn(process.execPath, [fileURLToPath(program), JSON.stringify(args)], {
        stdio: ['pipe', 'pipe', 'pipe'],
        env: withoutOptions(),
        windowsHide: true,
      })
      const reader = new FrameReader((type, sequence, body) => events.frame(type, sequence, body))
      // As plain bytes: a Buffer's slice() is no copy.
      child.stdout.on('data', ({ buffer, byteOffset, length }: Uint8Array) =>
        reader.push(new Uint8Array(buffer, byteOffset, length)),
      )
      child.stderr.on('data', (piece: Uint8Array) => {
        this.#words = (this.#words + piece.toString()).slice(-TAIL)
      })
      // Its death shows at the other end.
      for (const pipe of [child.stdin, child.stdout, child.stderr]) pipe.on('error', () => {})
      child.on('error', (error) => end(null, null, error))
      child.on('close', (exitCode, signal) => end(exitCode, signal))
      this.#child = child
      this.pid = child.pid
      this.unref()
    } catch (error) {
      queueMicrotask(() => end(null, null, error))
    }
  }

  /** Sends a frame; the parts of its body are not copied and must stay as they are until it has been answered. */
  send(type: number, sequence: number, ...parts: readonly Uint8Array[]): void {
    const { stdin } = this.#child ?? {}
    if (stdin === undefined || this.#over || !stdin.writable) return
    let length = 0
    for (const part of parts) length += part.length
    const head = frameHead(type, sequence, length)
    // In one piece: the other side is woken up once.
    if (length <= COPIED) {
      stdin.write(concatBytes([head, ...parts]))
      return
    }
    stdin.cork()
    stdin.write(head)
    for (const part of parts) if (part.length > 0) stdin.write(part)
    stdin.uncork()
  }

  /** Resolves once what was sent has left this process for the pipe, or the child has ended. */
  drained(): Promise<void> {
    const { stdin } = this.#child ?? {}
    if (stdin === undefined || this.#over || stdin.writableLength === 0) return Promise.resolve()
    return new Promise((resolve) => {
      stdin.write('', () => resolve())
    })
  }

  /** Nothing more will be sent: it ends when it has done its work. */
  end(): void {
    this.#child?.stdin.end()
  }

  /** Ends it now, wherever it is. */
  kill(): void {
    this.#child?.kill('SIGKILL')
  }

  /** This process lives as long as it. */
  ref(): void {
    if (this.#held) return
    this.#held = true
    const child = this.#child
    child?.ref()
    for (const pipe of [child?.stdin, child?.stdout, child?.stderr]) (pipe as Partial<Socket>)?.ref?.()
  }

  /** This process may end before it. */
  unref(): void {
    if (!this.#held) return
    this.#held = false
    const child = this.#child
    child?.unref()
    for (const pipe of [child?.stdin, child?.stdout, child?.stderr]) (pipe as Partial<Socket>)?.unref?.()
  }
}

/** Flags meant for this process (a debugger's port, a loader) are not meant for that one. */
function withoutOptions(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _, ...env } = process.env
  return env
}
