import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { cacheFunction, HugeMap } from 'millrace'

/** Slow: a request to some other service, say. */
async function describe(city: string, { language }: { language: string }): Promise<string> {
  await wait(25)
  return `${city} in ${language}`
}

const CITIES = ['Lima', 'Oslo', 'Paris', 'Quito', 'Rome', 'Seoul', 'Tunis', 'Ulm', 'Vienna', 'Wuppertal']
const LANGUAGES = ['en', 'fr']

/** One of four processes that want the same things: it asks for all of them, and tells how often it had to compute. */
async function child(folder: string): Promise<void> {
  await using map = await HugeMap.open(folder)
  // Ten at a time wait for each other within a process, and the processes for each other. One that is killed while it
  // computes is replaced by the next in line.
  const cached = cacheFunction(describe, { map, version: 1 })
  const wanted = CITIES.flatMap((city) => LANGUAGES.map((language) => cached(city, { language })))
  const results = await Promise.all(wanted)
  process.send?.({ results: results.length, ...cached.stats })
}

async function parent(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-'))
  try {
    const self = fileURLToPath(import.meta.url)
    const processes = [1, 2, 3, 4].map(() => fork(self, [join(folder, 'cache')]))
    const told = await Promise.all(processes.map((one) => once(one, 'message') as Promise<[Record<string, number>]>))
    const sum = (what: string): number => told.reduce((total, [stats]) => total + (stats[what] ?? 0), 0)
    for (const [stats] of told) console.log(stats)
    await Promise.all(processes.map((one) => one.exitCode ?? once(one, 'exit')))
    console.log(`${processes.length} processes wanted ${sum('results')} results, computed ${sum('calls')} of them`)
  } finally {
    await rm(folder, { recursive: true })
  }
}

const [, , folder] = process.argv
await (folder === undefined ? parent() : child(folder))
