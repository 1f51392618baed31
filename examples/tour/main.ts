import { streamLeg } from './legs/stream.js'
import { Report } from './report.js'

// The tour: what the library does, on real data: the cities of GeoNames. Each leg checks its own results.
const report = new Report()
try {
  await streamLeg(report)
  report.totals()
} catch (error) {
  console.error(`the tour stopped: ${error instanceof Error ? error.message : error}`)
  process.exitCode = 1
}
