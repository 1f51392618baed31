import { execFile, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'

const root = new URL('../../', import.meta.url)
const text = (path: string): string => readFileSync(new URL(path, root), 'utf8')

test('every promise of SECURITY.md has a test, and every test that shows a promise shows one that is made', (t) => {
  const made = new Set(text('SECURITY.md').match(/(?<=^- \*\*)[A-Z]\d+(?=\*\*)/gm))
  const shown = new Set<string>()
  for (const file of readdirSync(new URL('test/', root))) {
    if (!file.endsWith('.test.ts')) continue
    for (const [, promise] of text(`test/${file}`).matchAll(/test(?:\.serial)?\(\s*['"`]([A-Z]\d+): /g))
      shown.add(promise as string)
  }
  t.true(made.size > 5)
  t.deepEqual([...shown].sort(), [...made].sort())
})

test('every code has its line in the README, and every line its code', (t) => {
  const codes = new Set(text('types/errors.ts').match(/(?<=\| ')[A-Z_]+(?=')/g))
  const lines = new Set(text('README.md').match(/(?<=^\| `)(?:MILL_[A-Z_]+|ABORT_ERR)(?=` \|)/gm))
  t.true(codes.size > 10)
  t.deepEqual([...lines].sort(), [...codes].sort())
})

test('the example of the README is the one that runs', (t) => {
  const { stdout, stderr } = spawnSync(process.execPath, ['dist/examples/readme.js'], { cwd: root, encoding: 'utf8' })
  t.is(stderr, '')
  t.is(stdout, 'hello\nworld\n')
  const [, shown] = text('README.md').match(/```ts\n([\s\S]*?)```/) ?? []
  t.is(shown, text('examples/readme.ts'))
})

test('G6: hostile input does nothing but give frames and errors, in a process that could do nothing else', async (t) => {
  const { allowedNodeEnvironmentFlags: flags } = process
  const { stdout } = await promisify(execFile)(process.execPath, [
    flags.has('--permission') ? '--permission' : '--experimental-permission',
    '--allow-fs-read=*',
    '--disallow-code-generation-from-strings',
    fileURLToPath(new URL('fixtures/confined.js', import.meta.url)),
    tmpdir(),
  ])
  t.is(stdout, '10 frames, 40 errors of ours, nothing else\n')
})
