/**
 * A process that writes to a subject, or looks at what is left of it: `child.js write <subject> <job>`,
 * `child.js examine <subject> <job>`, both jobs as JSON. Tells what happens in lines.
 */
import { isMillraceError } from '../../../lib/index.js'
import { subjects } from './index.js'
import type { ExamineJob, WriteJob } from './record.js'
import { tell } from './tell.js'

const [what = '', name = '', job = '{}'] = process.argv.slice(2)
const subject = subjects[name as keyof typeof subjects]

if (what === 'write') {
  try {
    await subject.write(JSON.parse(job) as WriteJob, tell)
  } catch (error) {
    if (!isMillraceError(error)) throw error
    tell(`failed - ${error.code}`)
  }
} else {
  for (const fault of await faultsOf(JSON.parse(job) as ExamineJob)) tell(fault.replaceAll('\n', ' '))
  tell('examined')
}

/** That it cannot even be opened is a fault too. */
async function faultsOf(job: ExamineJob): Promise<string[]> {
  try {
    return await subject.examine(job)
  } catch (error) {
    if (!isMillraceError(error)) throw error
    return [`it cannot be read: ${error.code}: ${error.message}`]
  }
}
