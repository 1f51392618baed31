import { dataset } from './dataset.js'
import { files } from './files.js'
import { map } from './map.js'
import type { Subject } from './record.js'

export const subjects = { map, files, dataset } satisfies Record<string, Subject>
export type SubjectName = keyof typeof subjects
