// The library as it was built, and its examples: from ../dist, or from the folder that MILLRACE_DIST names.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const given = process.env.MILLRACE_DIST
/** The folder of the build, as a URL. */
const dist = given === undefined ? new URL('../dist/', import.meta.url) : pathToFileURL(`${given}/`)

export const distUrl = dist
/** @param {string} path inside dist */
const load = (path) => import(new URL(path, dist).href)

const library = await load('lib/index.js')
export const { ByteQueue, Bytes, ChunkedBuffer, FrameParser, MemoryPool, lines, readable, toWeb } = library
export const { ChunkPool, job, runChunked, sharedArray } = library
export const { HugeMap, RemoteMap, cacheFunction, redisStore } = library
export const { bullmqExecutor, bullmqWorker } = library
export const { LoadIt, sequence } = library
export const { MapBuffer, MapBufferWriter, openMapBuffer, openMapBufferSync } = library

/** The very copy of a package that the library uses. @param {string} name */
export const ofLibrary = (name) => createRequire(new URL('lib/index.js', dist))(name)

/** @param {string} path inside dist/examples */
export const example = (path) => load(`examples/${path}`)

/** @param {string} name of a fixture of the tests */
export const fixture = (name) => load(`test/fixtures/${name}.js`)

/** Hidden classes live as long as one object that has them: a full collection between two turns must not drop ours. */
export const alive = [new ByteQueue(), Bytes.from('x'), new FrameParser(function* () {})]
