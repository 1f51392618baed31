import type { LoadItSinkOptions } from '../../types/load-it.js'
import type { WritableOf } from '../../types/source.js'
import { type Callback, prematureClose } from '../streams/machine.js'
import { weigh } from '../streams/shape.js'
import { WriteFace } from '../streams/write-face.js'
import { Filler } from './filler.js'
import { openDataset } from './open.js'
import { checkOptions } from './options.js'

/** Bytes that may wait to be stored before whoever writes is made to wait; an object counts 64. */
const MARK = 65_536

/** Opens a folder to be filled by writing; see `LoadIt.sink`. */
export async function openSink<T>(options: LoadItSinkOptions): Promise<WritableOf<T>> {
  const settings = checkOptions<T>(options as LoadItSinkOptions & { serializer?: never })
  const { data, warning } = await openDataset(settings, undefined)
  try {
    if (warning !== undefined) throw warning
    const filler = new Filler<T>(data)
    filler.claim()
    return new ShardSink(filler as Filler<unknown>, settings.signal) as unknown as WritableOf<T>
  } catch (error) {
    await data.close()
    throw error
  }
}

/** What is written to it becomes shards; `'finish'` comes when the last one is published, `'close'` when all is let go. */
class ShardSink extends WriteFace {
  readonly #filler: Filler<unknown>

  constructor(filler: Filler<unknown>, signal: AbortSignal | undefined) {
    super(MARK, weigh)
    this.#filler = filler
    this._bind(signal)
  }

  override _writev(items: unknown[], done: Callback): void {
    this.#filler.add(items).then(() => done(null), done)
  }

  override _final(done: Callback): void {
    this.#filler.end().then(() => done(null), done)
  }

  override _predestroy(): void {
    this.#filler.stop(this._failure?.error ?? prematureClose())
  }

  override _stop(): Promise<void> {
    return this.#filler.close()
  }
}
