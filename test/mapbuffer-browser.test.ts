import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { build } from 'esbuild'
import { MapBuffer } from 'millrace'

// What a browser gets of the package: bundled as its users bundle it, and run where there is nothing of Node.

const root = fileURLToPath(new URL('../../', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'millrace-browser-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))

/** Bundles one of the faces. A module of Node's that something imports is an error here, as it is for whoever bundles. */
async function bundle(contents: string, minify: boolean, external: string[] = []) {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: root },
    absWorkingDir: root,
    outdir: folder,
    bundle: true,
    minify,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    metafile: true,
    write: false,
    external,
    // No browser has them; Node's fetch, which stands in for a browser's, can't be without them.
    define: { setImmediate: 'undefined', 'globalThis.setImmediate': 'undefined' },
  })
  return { code: outputFiles[0]?.text as string, inputs: Object.keys(metafile.inputs) }
}

const entries = Array.from({ length: 300 }, (_, i) => [i * 2 ** 40 + 7, Buffer.from(`value ${i}`.repeat(9))] as const)

for (const subpath of ['millrace', 'millrace/mapbuffer']) {
  test(`${subpath}, bundled for a browser, reads and writes in a process without Node's own modules`, async (t) => {
    const both = subpath === 'millrace' ? '' : "export * from 'millrace/buffer'"
    const { code } = await bundle(`export * from '${subpath}'; ${both}`, false)
    const page = mkdtempSync(join(folder, 'page-'))
    const script = join(page, 'script.mjs')
    writeFileSync(script, code)
    const served = Buffer.from(MapBuffer.from(entries, { compress: 'gzip' }).toBytes())
    const wasm = join(dirname(createRequire(import.meta.url).resolve('@bokuweb/zstd-wasm')), 'zstd.wasm')
    const server = createServer((request, response) => {
      if (request.url === '/zstd.wasm') {
        response.setHeader('content-type', 'application/wasm').end(readFileSync(wasm))
        return
      }
      const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []
      if (request.url !== '/map.mb') response.writeHead(404).end()
      else if (first === undefined) response.end(served)
      else {
        const part = served.subarray(Number(first), Number(last) + 1)
        const range = `bytes ${first}-${Number(first) + part.length - 1}/${served.length}`
        response.writeHead(206, { 'content-range': range }).end(part)
      }
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.teardown(() => {
      server.closeAllConnections()
      server.close()
    })
    const { port } = server.address() as { port: number }
    const child = fileURLToPath(new URL('fixtures/browser-page.js', import.meta.url))
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      [child, script, `http://127.0.0.1:${port}`],
      {
        timeout: 60_000,
      },
    )
    t.is(stderr, '')
    // What was compressed there by pako is read here by zlib.
    const map = new MapBuffer(Buffer.from(stdout, 'base64'))
    t.is(map.compression, 'gzip')
    t.deepEqual(
      map.getMany(entries.map(([label]) => label)).map((value) => Buffer.from(value as Uint8Array)),
      entries.map(([, value]) => value),
    )
  })
}

test('what only Node can do is no part of the bundle, and what a page does not use is left out', async (t) => {
  const whole = await bundle("export * from 'millrace'", true)
  t.true(whole.inputs.includes('dist/lib/mapbuffer/remote.js'))
  for (const path of ['io/atomic-write.js', 'mapbuffer/node.js', 'mapbuffer/write-file.js', 'streams/node.js']) {
    t.true(readFileSync(join(root, 'dist/lib', path), 'utf8').length > 0)
    t.false(whole.inputs.includes(`dist/lib/${path}`), path)
  }
  // Whoever bundles looks for these, and would put a module of their own in its place.
  t.notRegex(whole.code, /\brequire\(|\bfrom ?["']node:|\bimport\(["']node:/)
  // 175 kB when this was written, 55 kB of them after gzip: a page that only reads.
  const reading = await bundle("export { openMapBuffer } from 'millrace/mapbuffer'", true, ['@bokuweb/zstd-wasm'])
  t.true(reading.code.length < 190_000, `${reading.code.length} bytes`)
  t.true(reading.code.length < whole.code.length - 30_000)
})
