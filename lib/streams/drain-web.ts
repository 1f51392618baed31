import { StreamError } from '../base/errors.js'
import { Drain } from './drain.js'
import { plain } from './flatten.js'
import { asError, ignore } from './machine.js'

/** Web streams. */
export class WebDrain extends Drain {
  readonly #writer: WritableStreamDefaultWriter<unknown>

  constructor(to: WritableStream<unknown>) {
    super()
    if (to.locked) throw new StreamError('MILL_ALREADY_READING', 'This WritableStream is locked by another writer')
    this.#writer = to.getWriter()
    this.#writer.closed.catch((error) => this.died(asError(error)))
  }

  override write(items: readonly unknown[]): Promise<void> {
    return this.wait((resolve, reject) => {
      this.#all(items).then(resolve, reject)
    })
  }

  async #all(items: readonly unknown[]): Promise<void> {
    for (const item of items) {
      await this.#writer.ready
      if (this.gone !== undefined) return
      // No web sink knows our Bytes; one view, copied only if it is in several pieces. A failing write fails `ready` too.
      this.#writer.write(plain(item)).catch(ignore)
    }
    await this.#writer.ready
  }

  override async end(): Promise<void> {
    await this.wait((resolve, reject) => {
      this.#writer.close().then(resolve, reject)
    })
    this.over = true
    this.#writer.releaseLock()
  }

  protected override destroy(error: Error): void {
    this.#writer.abort(error).catch(ignore)
  }

  override forget(): void {
    this.#writer.closed.catch(ignore)
    this.#writer.releaseLock()
  }
}
