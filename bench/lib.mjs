// The library as it was built, and its examples: from ../dist, or from the folder that MILLRACE_DIST names.
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
export const { HugeMap, cacheFunction } = library
export const { MapBuffer, MapBufferWriter, openMapBuffer, openMapBufferSync } = library

/** @param {string} path inside dist/examples */
export const example = (path) => load(`examples/${path}`)

/** Hidden classes live as long as one object that has them: a full collection between two turns must not drop ours. */
export const alive = [new ByteQueue(), Bytes.from('x'), new FrameParser(function* () {})]
