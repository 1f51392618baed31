import { jumpLeg } from './legs/jump.js'
import { lookupLeg } from './legs/lookup.js'
import { nearestLeg } from './legs/nearest.js'
import { rememberLeg } from './legs/remember.js'
import { streamLeg } from './legs/stream.js'
import { Report } from './report.js'

// The tour: what the library does, on real data: the cities of GeoNames. Each leg checks its own results.
const report = new Report()
try {
  const cities = await streamLeg(report)
  await nearestLeg(report, cities)
  await lookupLeg(report, cities)
  await rememberLeg(report, cities)
  await jumpLeg(report, cities)
  report.totals()
} catch (error) {
  console.error(`the tour stopped: ${error instanceof Error ? error.message : error}`)
  process.exitCode = 1
}
