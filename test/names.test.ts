import { readFileSync } from 'node:fs'
import test from 'ava'

const root = new URL('../../', import.meta.url)

/** What the package offers: every public name, by subpath. A change here is a change for users: it belongs in the changelog. */
const NAMES: Record<string, { values: string[]; types: string[] }> = {
  '.': {
    values: [
      'AbortError',
      'ArgumentError',
      'BufferError',
      'ByteQueue',
      'Bytes',
      'ChunkPool',
      'ChunkedBuffer',
      'CodecError',
      'FileError',
      'FrameParser',
      'IntMap',
      'IntMapWriter',
      'MapBuffer',
      'MapBufferError',
      'MapBufferParser',
      'MapBufferReader',
      'MapBufferWriter',
      'MemoryPool',
      'MillraceError',
      'RunError',
      'SourceError',
      'StreamError',
      'atomicWrite',
      'batches',
      'blobSource',
      'cached',
      'coalesced',
      'crc32c',
      'fileSource',
      'httpSource',
      'inline',
      'isMillraceError',
      'job',
      'lines',
      'loadCodec',
      'memorySource',
      'merge',
      'openMapBuffer',
      'openMapBufferSync',
      'pump',
      'readRanges',
      'readable',
      'registerCodec',
      'runChunked',
      'salvage',
      'shareOf',
      'sharedArray',
      'statusLine',
      'toNode',
      'toWeb',
      'transcode',
      'writable',
      'writeMapBuffer',
    ],
    types: [
      'AnyBytes',
      'AnyMap',
      'ArgsOf',
      'AsyncReader',
      'ByteQueueOptions',
      'ByteSource',
      'BytesLike',
      'Chunk',
      'ChunkBlock',
      'ChunkExecutor',
      'ChunkFn',
      'ChunkJob',
      'ChunkPlan',
      'ChunkRef',
      'ChunkRun',
      'ChunkSink',
      'ChunkState',
      'ChunkedBufferConstructor',
      'ChunkedBufferOptions',
      'Codec',
      'CompressionName',
      'Delimiter',
      'DuplexOf',
      'Emits',
      'Entries',
      'ErrorCode',
      'EventName',
      'HttpRequestInfo',
      'HttpSourceOptions',
      'IntMapOptions',
      'Label',
      'LabelRange',
      'LinesOptions',
      'Listener',
      'LocalOptions',
      'Location',
      'MapBufferHeader',
      'MapBufferReadOptions',
      'MapBufferWriteOptions',
      'MergeOptions',
      'Need',
      'OpenOptions',
      'Parser',
      'ParserInput',
      'ParserOptions',
      'Problem',
      'Progress',
      'QueueVerbs',
      'RangeOptions',
      'ReadInput',
      'ReadSide',
      'ReadableOf',
      'Reads',
      'RunOptions',
      'RunProgress',
      'SalvageOptions',
      'Serializer',
      'Sink',
      'Source',
      'Status',
      'StreamOptions',
      'Summary',
      'ThreadOptions',
      'VerifyOptions',
      'VerifyReport',
      'WithArgs',
      'WritableOf',
      'WriterOptions',
      'WriterStats',
    ],
  },
  './buffer': {
    values: [
      'AbortError',
      'ArgumentError',
      'BufferError',
      'ByteQueue',
      'Bytes',
      'FrameParser',
      'MemoryPool',
      'MillraceError',
      'StreamError',
      'isMillraceError',
    ],
    types: [
      'AnyBytes',
      'ByteQueueOptions',
      'BytesLike',
      'Delimiter',
      'ErrorCode',
      'Need',
      'Parser',
      'ParserInput',
      'Reads',
    ],
  },
  './mapbuffer': {
    values: [
      'AbortError',
      'ArgumentError',
      'CodecError',
      'FileError',
      'IntMap',
      'IntMapWriter',
      'MapBuffer',
      'MapBufferError',
      'MapBufferParser',
      'MapBufferReader',
      'MapBufferWriter',
      'MillraceError',
      'SourceError',
      'StreamError',
      'atomicWrite',
      'blobSource',
      'cached',
      'coalesced',
      'crc32c',
      'fileSource',
      'httpSource',
      'isMillraceError',
      'loadCodec',
      'memorySource',
      'merge',
      'openMapBuffer',
      'openMapBufferSync',
      'readRanges',
      'registerCodec',
      'salvage',
      'transcode',
      'writeMapBuffer',
    ],
    types: [
      'AnyMap',
      'ByteSource',
      'BytesLike',
      'Codec',
      'CompressionName',
      'DuplexOf',
      'Emits',
      'Entries',
      'ErrorCode',
      'EventName',
      'HttpRequestInfo',
      'HttpSourceOptions',
      'IntMapOptions',
      'Label',
      'LabelRange',
      'Listener',
      'Location',
      'MapBufferHeader',
      'MapBufferReadOptions',
      'MapBufferWriteOptions',
      'MergeOptions',
      'OpenOptions',
      'ParserOptions',
      'Problem',
      'Progress',
      'RangeOptions',
      'ReadInput',
      'ReadSide',
      'ReadableOf',
      'SalvageOptions',
      'Serializer',
      'Source',
      'VerifyOptions',
      'VerifyReport',
      'WriterOptions',
      'WriterStats',
    ],
  },
  './streams': {
    values: [
      'AbortError',
      'ArgumentError',
      'BufferError',
      'ChunkedBuffer',
      'MillraceError',
      'StreamError',
      'batches',
      'isMillraceError',
      'lines',
      'pump',
      'readable',
      'toNode',
      'toWeb',
      'writable',
    ],
    types: [
      'AnyBytes',
      'AsyncReader',
      'ByteQueueOptions',
      'Bytes',
      'BytesLike',
      'ChunkedBufferConstructor',
      'ChunkedBufferOptions',
      'Delimiter',
      'DuplexOf',
      'Emits',
      'ErrorCode',
      'EventName',
      'LinesOptions',
      'Listener',
      'Need',
      'Parser',
      'ParserInput',
      'QueueVerbs',
      'ReadSide',
      'ReadableOf',
      'Reads',
      'Sink',
      'Source',
      'StreamOptions',
      'WritableOf',
    ],
  },
  './run': {
    values: [
      'AbortError',
      'ArgumentError',
      'ChunkPool',
      'MillraceError',
      'RunError',
      'inline',
      'isMillraceError',
      'job',
      'runChunked',
      'shareOf',
      'sharedArray',
      'statusLine',
    ],
    types: [
      'ArgsOf',
      'Chunk',
      'ChunkBlock',
      'ChunkExecutor',
      'ChunkFn',
      'ChunkJob',
      'ChunkPlan',
      'ChunkRef',
      'ChunkRun',
      'ChunkSink',
      'ChunkState',
      'ErrorCode',
      'LocalOptions',
      'Progress',
      'ReadableOf',
      'RunOptions',
      'RunProgress',
      'Status',
      'Summary',
      'ThreadOptions',
      'WithArgs',
      'WritableOf',
    ],
  },
}

type Conditions = { browser?: Conditions; types?: string; default?: string }
const { exports } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as {
  exports: Record<string, Conditions | string>
}

/** Every name that a declaration file exports, through `export *` and `export { … }`. */
function declared(file: URL): Set<string> {
  const text = readFileSync(file, 'utf8')
  const names = new Set<string>()
  let rest = text
  for (const [statement, list, from] of text.matchAll(
    /^export (?:type )?(?:\*|\{([^}]*)\})(?: from '([^']+)')?;?$/gm,
  )) {
    rest = rest.replace(statement, '')
    if (list === undefined) for (const name of declared(new URL(dts(from ?? ''), file))) names.add(name)
    for (const one of list?.split(',') ?? []) {
      const name = one
        .trim()
        .replace(/^type /, '')
        .split(' as ')
        .at(-1)
      if (name !== undefined && name !== '') names.add(name)
    }
  }
  // A face only passes on what its rooms declare; a form of export that was not read above must not go unseen.
  if (/\bexport\b/.test(rest.replace(/\/\*[\s\S]*?\*\//g, ''))) throw new Error(`${file}: cannot read ${rest}`)
  return names
}
const dts = (path: string): string => path.replace(/\.js$/, '.d.ts')

for (const [subpath, { values, types }] of Object.entries(NAMES)) {
  test(`millrace${subpath.slice(1)} has these names and no others`, async (t) => {
    const found = (await import(`millrace${subpath.slice(1)}`)) as object
    t.deepEqual(Object.keys(found).sort(), values)
    const file = (exports[subpath] as Conditions).types as string
    t.deepEqual([...declared(new URL(file, root))].sort(), [...values, ...types].sort())
  })
}

test('the list above knows every subpath of the package', (t) => {
  t.deepEqual(Object.keys(exports).sort(), [...Object.keys(NAMES), './package.json'].sort())
})

/** What a browser has of a room: all but what needs files. */
const ONLY_IN_NODE = ['FileError', 'atomicWrite', 'fileSource', 'openMapBufferSync', 'writeMapBuffer']
const inBrowser = (subpath: string): { values: string[]; types: string[] } => {
  const { values, types } = NAMES[subpath] as { values: string[]; types: string[] }
  return { values: values.filter((name) => !ONLY_IN_NODE.includes(name)), types }
}
const together = (...lists: string[][]): string[] => [...new Set(lists.flat())].sort()

test('a browser gets what millrace/buffer has, and of millrace/mapbuffer what needs no files', async (t) => {
  const buffer = inBrowser('./buffer')
  const mapbuffer = inBrowser('./mapbuffer')
  const faces: [string, string[], string[]][] = [
    ['./mapbuffer', mapbuffer.values, mapbuffer.types],
    ['.', together(buffer.values, mapbuffer.values), together(buffer.types, mapbuffer.types)],
  ]
  for (const [subpath, values, types] of faces) {
    const { browser } = exports[subpath] as Conditions
    const found = (await import(new URL(browser?.default as string, root).href)) as object
    t.deepEqual(Object.keys(found).sort(), values, subpath)
    t.deepEqual([...declared(new URL(browser?.types as string, root))].sort(), together(values, types), subpath)
  }
})

test('every name a subpath has is the same thing in all of them', async (t) => {
  const all = (await import('millrace')) as Record<string, unknown>
  for (const subpath of ['buffer', 'mapbuffer', 'run', 'streams']) {
    for (const [name, value] of Object.entries((await import(`millrace/${subpath}`)) as object)) {
      t.is(value, all[name], `${subpath} ${name}`)
    }
  }
})
