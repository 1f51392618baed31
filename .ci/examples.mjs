// Runs every example the way a reader would, and shows the line each ends with. One that fails, or says nothing, fails.
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'

const root = new URL('../', import.meta.url)
const folder = new URL('dist/examples/', root)
const names = (path) => readdirSync(new URL(path, folder)).filter((name) => name.endsWith('.js'))
// A folder with a main.js is one program, any other a set of them. A job module is run by the program beside it.
const programs = readdirSync(folder, { withFileTypes: true })
  .flatMap((entry) => {
    if (!entry.isDirectory()) return [entry.name]
    const inside = names(`${entry.name}/`)
    return (inside.includes('main.js') ? ['main.js'] : inside).map((name) => `${entry.name}/${name}`)
  })
  .filter((name) => name.endsWith('.js') && !name.endsWith('.job.js'))
  .sort()

for (const program of programs) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [new URL(program, folder).pathname], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  const last = stdout.trimEnd().split('\n').at(-1) ?? ''
  console.log(`${program}: ${last}`)
  if (status !== 0 || last === '') {
    console.error(stderr)
    process.exit(1)
  }
}
