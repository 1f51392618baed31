import { execFile } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { builtinModules, createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { publint } from 'publint'

// What users get: the packed package, unpacked into the node_modules of a project that knows nothing of this one.

const run = promisify(execFile)
const root = fileURLToPath(new URL('../../', import.meta.url))
const modules = join(root, 'node_modules')
const project = mkdtempSync(join(tmpdir(), 'millrace-'))
const home = join(project, 'node_modules', 'millrace')
const tool = (name: string, bin: string): string => join(modules, name, bin)
const node = (args: string[], cwd = project) => run(process.execPath, args, { cwd })

type Conditions = { [condition: string]: string | Conditions }
interface Manifest {
  exports: Conditions
  dependencies: Record<string, string>
  optionalDependencies: Record<string, string>
  peerDependencies: Record<string, string>
  peerDependenciesMeta: Record<string, { optional: boolean }>
  engines: { node: string }
}
let files: string[]
let manifest: Manifest

test.before(async () => {
  // Without scripts: `prepack` would delete and rebuild the very files the other tests are running.
  const pack = ['pack', '--ignore-scripts', '--offline', '--json', '--pack-destination', project]
  const windows = process.platform === 'win32'
  const { stdout } = await run(windows ? 'npm.cmd' : 'npm', pack, { cwd: root, shell: windows })
  const [{ filename, files: packed }] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }]
  files = packed.map((file) => file.path).sort()
  mkdirSync(home, { recursive: true })
  await run('tar', ['-xzf', join(project, filename), '--strip-components=1', '-C', home])
  manifest = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as Manifest
  for (const name of [...Object.keys(manifest.dependencies), '@types/node']) {
    const link = join(project, 'node_modules', name)
    mkdirSync(join(link, '..'), { recursive: true })
    symlinkSync(join(modules, name), link, 'junction')
  }
  cpSync(join(root, 'test', 'fixtures', 'consumer'), project, { recursive: true })
  // Written here: as a fixture it would stand between the fixtures and the package they import when the tests are built.
  writeFileSync(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
})

test.after.always(() => rmSync(project, { recursive: true, force: true }))

const isPublished = (path: string): boolean =>
  /^(?:package\.json|README\.md|LICENSE|CHANGELOG\.md|SECURITY\.md)$/.test(path) ||
  /^docs\/[\w-]+\.md$/.test(path) ||
  /^dist\/(?:lib|types)\/.+\.(?:js|js\.map|d\.ts|d\.ts\.map)$/.test(path) ||
  /^(?:lib|types)\/.+\.ts$/.test(path)

/** Every file that `entry` reaches through relative imports, and every other module that it names on the way. */
function reach(entry: string): { files: string[]; outside: string[] } {
  const seen = new Set<string>()
  const outside = new Set<string>()
  const visit = (path: string): void => {
    if (seen.has(path)) return
    seen.add(path)
    const text = readFileSync(join(home, path), 'utf8')
    for (const [, from = ''] of text.matchAll(/\b(?:from|import)\s*\(?\s*['"]([^'"\n]+)['"]/g)) {
      if (!from.startsWith('.')) outside.add(from)
      else visit(posix.join(posix.dirname(path), path.endsWith('.d.ts') ? from.replace(/\.js$/, '.d.ts') : from))
    }
  }
  visit(posix.normalize(entry))
  return { files: [...seen].sort(), outside: [...outside].sort() }
}

/** The files that package.json names for a condition, over all its subpaths. */
function entries(condition: string, from: Conditions = manifest.exports): string[] {
  return Object.entries(from).flatMap(([name, to]) => {
    if (typeof to === 'object') return entries(condition, to)
    return name === condition ? [to] : []
  })
}

test('only what users need is packed, and all of it', (t) => {
  t.deepEqual(
    files.filter((path) => !isPublished(path)),
    [],
  )
  for (const path of [
    'test/base.test.ts',
    'dist/test/base.test.js',
    'dist/examples/readme.js',
    '.ci/run',
    'lib/x.js',
  ]) {
    t.false(isPublished(path), path)
  }
  for (const path of [
    'package.json',
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    'docs/mapbuffer-format.md',
    'docs/shard-format.md',
  ])
    t.true(files.includes(path), path)
  for (const path of files.filter((path) => path.endsWith('.map'))) {
    const { sources } = JSON.parse(readFileSync(join(home, path), 'utf8')) as { sources: string[] }
    for (const source of sources) t.true(existsSync(join(home, path, '..', source)), `${path} points at ${source}`)
  }
})

test('publint has nothing to say', async (t) => {
  const { messages } = await publint({ pkgDir: home, pack: false, strict: true })
  t.deepEqual(messages, [])
  // It does see what is wrong: the same package with an export that is not there.
  const broken = join(project, 'broken')
  cpSync(home, broken, { recursive: true })
  rmSync(join(broken, 'dist', 'lib', 'index.js'))
  t.true((await publint({ pkgDir: broken, pack: false, strict: true })).messages.length > 0)
})

test('attw: the types of every subpath are those of its code', async (t) => {
  const [tarball] = readdirSync(project).filter((name) => name.endsWith('.tgz'))
  const attw = tool('@arethetypeswrong/cli', 'dist/index.js')
  const { stdout } = await node([
    attw,
    tarball as string,
    '--profile',
    'esm-only',
    '--no-definitely-typed',
    '-f',
    'json',
  ])
  const { analysis } = JSON.parse(stdout) as { analysis: { entrypoints: Record<string, { hasTypes: boolean }> } }
  t.deepEqual(Object.keys(analysis.entrypoints).sort(), Object.keys(manifest.exports).sort())
})

test('every subpath resolves, nothing else does', (t) => {
  const from = createRequire(join(project, 'main.cjs'))
  for (const subpath of Object.keys(manifest.exports)) {
    t.true(from.resolve(`millrace${subpath.slice(1)}`).startsWith(realpathSync(home)), subpath)
  }
  for (const subpath of ['dist/lib/index.js', 'lib/index.ts', 'base', 'buffer/index.js']) {
    t.throws(() => from.resolve(`millrace/${subpath}`), { code: 'ERR_PACKAGE_PATH_NOT_EXPORTED' })
  }
  const conditions = ['types', 'default'].flatMap((condition) => entries(condition))
  t.true(conditions.length >= 8)
  for (const path of conditions) t.true(files.includes(posix.normalize(path)), path)
})

/** The files of a browser's faces. */
const IN_BROWSERS = ['dist/lib/browser.js', 'dist/lib/mapbuffer/browser.js']

test('the code reaches only declared dependencies; in a browser it reaches no module of Node', (t) => {
  const { dependencies, optionalDependencies, peerDependencies } = manifest
  const packages = Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies })
  const declared = new Set([...packages, ...builtinModules.map((name) => `node:${name}`)])
  const all = entries('default').flatMap((path) => reach(path).outside)
  t.true(all.includes('streamx') && all.includes('node:stream'))
  for (const name of all) t.true(declared.has(name), name)
  for (const path of IN_BROWSERS) {
    t.true(all.length > reach(path).outside.length)
    t.deepEqual(reach(path).outside, ['@bokuweb/zstd-wasm', 'pako', 'streamx'], path)
  }
  t.deepEqual(reach('dist/lib/buffer/index.js').outside, [])
})

test('a package that may be missing is imported only when it is needed', (t) => {
  const all = new Set(entries('default').flatMap((path) => reach(path).files))
  const found: string[] = []
  const maybeMissing = Object.keys({ ...manifest.optionalDependencies, ...manifest.peerDependencies })
  for (const path of all) {
    const text = readFileSync(join(home, path), 'utf8')
    for (const name of maybeMissing) {
      if (text.includes(`'${name}'`)) found.push(name)
      t.notRegex(text, new RegExp(`\\bfrom '${name}'`), path)
    }
  }
  t.deepEqual([...new Set(found)].sort(), maybeMissing.sort())
  for (const name of Object.keys(manifest.peerDependencies)) t.true(manifest.peerDependenciesMeta[name]?.optional, name)
})

test('without lmdb everything loads and works that needs no folder, and a folder says which package is missing', async (t) => {
  // Not below the project: its node_modules would be looked into as well.
  const bare = mkdtempSync(join(tmpdir(), 'millrace-'))
  t.teardown(() => rmSync(bare, { recursive: true, force: true }))
  mkdirSync(join(bare, 'node_modules'), { recursive: true })
  cpSync(home, join(bare, 'node_modules', 'millrace'), { recursive: true })
  for (const name of ['streamx', 'pako', 'msgpackr']) {
    symlinkSync(join(modules, name), join(bare, 'node_modules', name), 'junction')
  }
  const program = `
    const subpaths = ${JSON.stringify(Object.keys(manifest.exports).filter((name) => !name.endsWith('.json')))}
    for (const name of subpaths) await import('millrace' + name.slice(1))
    const { cacheFunction, HugeMap, memoryStore } = await import('millrace')
    const map = await HugeMap.open(memoryStore())
    await map.set(['a', 1n], new Date(7))
    const cached = cacheFunction((n) => n * 2, { map, name: 'double' })
    const error = await HugeMap.open('there').catch((error) => error)
    console.log(map.get(['a', 1n]).getTime(), await cached(4), await cached(4), error.code, error.package)`
  writeFileSync(join(bare, 'main.mjs'), program)
  const { stdout } = await node(['main.mjs'], bare)
  t.is(stdout.trim(), '7 8 8 MILL_PACKAGE_MISSING lmdb')
  t.deepEqual(
    readdirSync(bare).filter((name) => name === 'there'),
    [],
  )
})

test('the types name no dependency; in a browser they need no types of Node', (t) => {
  for (const path of entries('types')) {
    const { outside, files } = reach(path)
    t.true(files.length > 3, path)
    t.deepEqual(
      outside.filter((name) => name !== 'node:stream' && name !== 'node:worker_threads'),
      [],
      path,
    )
  }
  t.deepEqual(reach('dist/lib/buffer/index.d.ts').outside, [])
  // Where a stream of Node's is named, a browser's project sees `any`: see the test that compiles one.
  for (const path of IN_BROWSERS) {
    for (const file of reach(path.replace(/js$/, 'd.ts')).files) {
      const text = readFileSync(join(home, file), 'utf8')
      const named =
        [...text.matchAll(/^import .*'node:stream';$/gm)].length + [...text.matchAll(/import\(["']node:/g)].length
      t.is([...text.matchAll(/^\/\*\* @ts-ignore \*\/\nimport .*'node:stream';$/gm)].length, named, file)
    }
  }
})

test('a project compiles against it with every declaration checked, and runs', async (t) => {
  const tsc = tool('typescript', 'bin/tsc')
  const compiled = await node([tsc, '-p', 'tsconfig.json']).catch((error: { stdout: string }) => error)
  t.is(compiled.stdout, '')
  const { stdout } = await node([join('out', 'main.js'), join(project, 'copy.gz')])
  t.is(stdout.trim(), 'hello world one two three 300 of v2 2 Lima 6 MILL_UNEXPECTED_END')
})

test('a browser project compiles against it without types of Node, and runs on what the browser condition gives', async (t) => {
  const tsc = tool('typescript', 'bin/tsc')
  const compiled = await node([tsc, '-p', 'tsconfig.browser.json']).catch((error: { stdout: string }) => error)
  t.is(compiled.stdout, '')
  const { stdout } = await node(['--conditions=browser', join('out', 'browser.js')])
  t.is(stdout.trim(), 'a b MILL_BUFFER_FULL v2 18446744073709551615 MILL_BAD_MAGIC')
})

test('require() works', async (t) => {
  const { stdout } = await node(['require.cjs'])
  t.is(stdout.trim(), '12 function function function function 1 function function millrace')
})
