// The same tasks, registered as workerpool wants it.
import workerpool from 'workerpool'
import * as tasks from './tasks.mjs'

workerpool.worker({ ...tasks })
