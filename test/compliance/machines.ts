import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { ExecutionContext, TestFn } from 'ava'
import type { Address, QueueAt } from '../fixtures/machine-child.js'
import { type Lab, type LabKind, type Machine, startLab } from '../fixtures/machines.js'
import { until } from '../fixtures/run-kit.js'
import { codeOf, failure, within } from '../fixtures/stream-kit.js'

/**
 * Registers what several machines must do: one has the servers, two have clients, and the link of one of them is cut in
 * the middle. `note`: told with each.
 */
export function machinesSuite(test: TestFn, kind: LabKind, note?: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-machines-'))
  let lab: Lab | undefined

  test.before(async (t) => {
    t.timeout(120_000)
    lab = await startLab(kind)
  })
  test.after.always(async (t) => {
    t.timeout(120_000)
    await lab?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  const onMachines = (title: string, run: (t: ExecutionContext, at: Place) => Promise<void>): void => {
    test.serial(`${kind}: ${title}`, async (t) => {
      t.timeout(120_000)
      if (note !== undefined) t.log(note)
      const machines = lab as Lab
      try {
        await run(t, { ...machines, kind, folder })
      } finally {
        await machines.one.mend()
      }
    })
  }

  onMachines('a map over a cluster: a cut link is a typed error in time, and mended all is well', mapOverCluster)
  onMachines('two roots share shards, one item is read by range, and a cut link is survived', sharedShards)
  onMachines('chunks: the block of a machine whose link is cut is done by the other one', chunks)
}

/** What a test is given. */
interface Place extends Lab {
  readonly kind: LabKind
  /** For files of the test. */
  readonly folder: string
}

/** Milliseconds a call took to fail, and how. */
async function failsIn(work: Promise<unknown>, what: string): Promise<{ ms: number; code: unknown }> {
  const before = performance.now()
  const error = await failure(work, what)
  return { ms: performance.now() - before, code: codeOf(error) }
}

/** Asks until it succeeds; milliseconds that took. */
async function recovers<T>(ask: () => Promise<T>, what: string, ms = 30_000): Promise<T> {
  const last = performance.now() + ms
  for (;;) {
    try {
      return await within(ask(), what)
    } catch (error) {
      if (performance.now() > last) throw error
      await wait(50)
    }
  }
}

/** Opens the map of a cluster on a machine. */
async function openMap(machine: Machine, nodes: readonly Address[], prefix: string, kind: LabKind): Promise<void> {
  const reached = await Promise.all(nodes.map((node) => machine.reach(node)))
  const natMap = Object.fromEntries(nodes.map(({ host, port }, i) => [`${host}:${port}`, reached[i]]))
  await machine.ask('mapOpen', reached, prefix, kind === 'loopback' ? { natMap } : {})
}

async function urlOf(machine: Machine, server: Address): Promise<string> {
  const { host, port } = await machine.reach(server)
  return `http://${host}:${port}/bucket/`
}

/** What the documentation says of a cluster that does not answer, and as much again for a busy machine. */
const ANSWER_MS = 10_000
const SLACK_MS = 10_000

async function mapOverCluster(t: ExecutionContext, lab: Place): Promise<void> {
  const { servers, one, two, kind } = lab
  const nodes = await servers.ask('cluster', lab.host)
  await openMap(one, nodes, 'shared', kind)
  await openMap(two, nodes, 'shared', kind)
  t.is(await one.ask('mapFill', 300), 300)
  t.is(await two.ask('mapGet', 'key 7'), 'value 7', 'what one machine writes the other one reads')
  t.true(await two.ask('mapSet', 'of two', 'yes'))
  t.is(await one.ask('mapGet', 'of two'), 'yes')

  await one.cut()
  const cut = await Promise.all([
    failsIn(one.ask('mapGet', 'key 1'), 'get'),
    failsIn(one.ask('mapSet', 'key 2', 'late'), 'set'),
    failsIn(one.ask('mapEntries'), 'entries'),
  ])
  // And what is asked once the client knows.
  cut.push(await failsIn(one.ask('mapGet', 'key 3'), 'get'))
  for (const { ms, code } of cut) {
    t.is(code, 'MILL_STORE_UNAVAILABLE')
    t.true(ms < ANSWER_MS + SLACK_MS, `${ms} ms`)
  }
  t.is(await two.ask('mapGet', 'key 1'), 'value 1', 'the other machine has noticed nothing')
  t.true(await two.ask('mapSet', 'key 2', 'of two'))

  await one.mend()
  t.is(await recovers(() => one.ask('mapGet', 'key 7'), 'the link is back'), 'value 7')
  // What was on the wire arrives now, or not: nobody can know. But not after what the same client did later.
  t.true(await one.ask('mapSet', 'key 2', 'of one'))
  t.is(await two.ask('mapGet', 'key 2'), 'of one')
  await wait(1000)
  t.is(await two.ask('mapGet', 'key 2'), 'of one')
  t.is((await one.ask('mapEntries')).length, 301)
}

async function sharedShards(t: ExecutionContext, lab: Place): Promise<void> {
  const { servers, one, two, folder } = lab
  const server = await servers.ask('s3', lab.host)
  const root = (name: string): string => join(folder, name)
  const timeout = 1000
  const upTo = (end: number): number[] => Array.from({ length: end }, (_, n) => n)
  // Nothing is cut yet, and what is given up by mistake would be made twice.
  await one.ask('loadOpen', root('one'), await urlOf(one, server), 60, 20_000)
  await two.ask('loadOpen', root('two'), await urlOf(two, server), 60, 20_000)

  // The first machine makes a part of it, the second one gets that from the server and makes the rest.
  t.deepEqual(await one.ask('loadMany', 0, 24), upTo(24))
  const shards = async (count: number): Promise<void> => {
    const { keys } = await servers.ask('s3Seen')
    if (keys.length !== count) throw new Error(`${keys} are there`)
  }
  await recovers(() => shards(3), 'three shards are there')
  t.deepEqual(await two.ask('loadMany', 0, 24), upTo(24))
  t.like(await two.ask('loadTold'), { pulled: 0, stats: { fetched: 3, generated: 0 } })
  t.is(await two.ask('loadLength'), 60)
  await recovers(() => shards(8), 'all shards are there')
  t.deepEqual(await one.ask('loadMany', 0, 60), upTo(60))
  const told = [await one.ask('loadTold'), await two.ask('loadTold')]
  t.is(
    told.reduce((sum, { stats }) => sum + stats.generated, 0),
    8,
    'each of the eight shards was made once',
  )

  // A third root has no source. For one item not its shard is fetched, but the item.
  await one.ask('loadOpen', root('three'), await urlOf(one, server), 0, timeout)
  await servers.ask('s3Seen')
  t.is(await one.ask('loadAt', 41), 41)
  const { seen } = await servers.ask('s3Seen')
  t.true(seen.every(({ range, status }) => range !== undefined && status === 206))
  const bytes = seen.reduce((sum, one) => sum + one.bytes, 0)
  t.true(bytes < 500_000, `${bytes} bytes for one item of a shard of millions`)
  await one.cut()
  const { ms, code } = await failsIn(one.ask('loadAt', 59), 'at')
  t.is(code, 'MILL_REMOTE')
  // Four attempts of `timeout` each, with pauses of 100, 400 and 1,600 ms, give or take a quarter.
  t.true(ms < 4 * timeout + 1.25 * 2100 + SLACK_MS, `${ms} ms`)
  await one.mend()
  t.is(await recovers(() => one.ask('loadAt', 59), 'the link is back'), 59)

  // With a source a link that is cut costs nothing but time.
  await one.ask('loadOpen', root('four'), await urlOf(one, server), 60, timeout)
  await one.cut()
  t.is(await within(one.ask('loadAt', 1), 'it is made here'), 1)
  await one.mend()
}

async function chunks(t: ExecutionContext, lab: Place): Promise<void> {
  const { servers, one, two, folder } = lab
  const server = await servers.ask('redis', lab.host)
  const at = async (machine: Machine): Promise<QueueAt> => ({
    connection: await machine.reach(server),
    queue: 'machines',
    lockMs: 1000,
  })
  // The run is on machine two; only machine one works until its link is cut.
  await one.ask('work', await at(one))
  const mark = join(folder, 'has begun')
  await two.ask('runStart', await at(two), 60, { ms: 100, mark })
  await until(() => existsSync(mark), 'machine one has begun with a block')
  await one.cut()
  await two.ask('work', await at(two))
  const { done, failed, values } = await within(two.ask('runEnd'), 'the run', 60_000)
  t.deepEqual([done, failed], [60, 0])
  t.deepEqual(
    values,
    Array.from({ length: 60 }, (_, i) => i),
    'each index once, in order',
  )

  // And the other way round: the link of the machine that waits for the run.
  await one.mend()
  const again = join(folder, 'has begun again')
  await one.ask('runStart', await at(one), 40, { ms: 100, mark: again })
  await until(() => existsSync(again), 'a block has begun')
  await one.cut()
  await wait(3000)
  await one.mend()
  const late = await within(one.ask('runEnd'), 'the run after the cut', 60_000)
  t.deepEqual([late.done, late.failed], [40, 0])
  t.deepEqual(
    late.values,
    Array.from({ length: 40 }, (_, i) => i),
  )
}
