import type { StoreLease } from '../../types/store.js'

/** Renews a lease again and again, until it is stopped or the lease is lost. Keeps no process alive. */
export class Renewal {
  readonly #timer: ReturnType<typeof setInterval>
  #pending: Promise<void> | undefined

  constructor(lease: StoreLease, everyMs: number) {
    this.#timer = setInterval(() => {
      // One at a time, however slow the disk is.
      this.#pending ??= this.#renew(lease)
    }, everyMs)
    this.#timer.unref()
  }

  async #renew(lease: StoreLease): Promise<void> {
    try {
      if (!(await lease.renew())) clearInterval(this.#timer)
    } catch {
      // The next one may do; if not, the lease runs out, and whoever stores the result finds out.
    }
    this.#pending = undefined
  }

  /** No renewal begins from now on; resolves when the last one has ended: the lease then stays as it is. Idempotent. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#pending
  }
}
