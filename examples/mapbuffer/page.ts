import { createReadStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ChunkedBuffer, writeMapBuffer } from 'millrace'
import { cities, citiesFile } from '../tour/cities.js'
import { type City, json, type openCities } from './page/cities.js'
import { bundle } from './support/bundle.js'
import { fileListener, serve } from './support/serve-file.js'

const PAGE = `<!doctype html><meta charset="utf-8"><title>Cities</title>
<form><input name="city" value="2988507"><button>Look up</button></form><p></p><p></p>
<script type="module">
  import { openCities } from './script.js'
  const [answer, moved] = document.querySelectorAll('p')
  let total = 0
  const look = openCities('./cities.mb', (bytes) => (moved.textContent = (total += bytes) + ' bytes fetched'))
  document.querySelector('form').onsubmit = async (event) => {
    event.preventDefault()
    answer.textContent = await (await look)(Number(event.target.city.value))
  }
</script>`

async function* named(): AsyncGenerator<[number, City], void, void> {
  const parsed = createReadStream(citiesFile).pipe(new ChunkedBuffer({ parser: cities }))
  for await (const { cityId, name, population } of parsed) yield [cityId, { name, people: population }]
}

const folder = await mkdtemp(join(tmpdir(), 'millrace-'))
try {
  const [data, script] = [join(folder, 'cities.mb'), join(folder, 'script.mjs')]
  await writeMapBuffer(data, named(), { serializer: json })
  await bundle(new URL('./page/cities.js', import.meta.url), script)
  const [sendData, sendScript] = [fileListener(data), fileListener(script, 'text/javascript')]
  // `node dist/examples/mapbuffer/page.js 8080` serves the page until it is stopped.
  const port = process.argv[2]
  await using server = await serve(
    (request, response) => {
      if (request.url === '/cities.mb') sendData(request, response)
      else if (request.url === '/script.js') sendScript(request, response)
      else response.setHeader('content-type', 'text/html').end(PAGE)
    },
    Number(port ?? 0),
  )
  if (port !== undefined) {
    console.log(`the page is at ${server.origin}`)
    await new Promise((resolve) => process.once('SIGINT', resolve))
  } else {
    // The very script of the page, asked as the page does.
    const page = (await import(pathToFileURL(script).href)) as { openCities: typeof openCities }
    let fetched = 0
    const look = await page.openCities(`${server.origin}/cities.mb`, (bytes) => {
      fetched += bytes
    })
    console.log(`${await look(2988507)}; ${await look(1)}; under 100 kB fetched: ${fetched < 100_000}`)
  }
} finally {
  await rm(folder, { recursive: true })
}
