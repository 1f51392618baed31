import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

/** Bundles a module, and all it imports, into one file that a browser can load. */
export async function bundle(entry: URL, outfile: string): Promise<void> {
  await build({
    entryPoints: [fileURLToPath(entry)],
    outfile,
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    // Loaded only for files with zstd, of which there are none here.
    external: ['@bokuweb/zstd-wasm'],
  })
}
