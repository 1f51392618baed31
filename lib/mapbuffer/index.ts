import '../streams/node.js'

export { FileError } from '../base/errors.js'
export { atomicWrite } from '../io/atomic-write.js'
export { fileSource } from '../io/index.js'
export * from './browser.js'
export { openMapBufferSync } from './node.js'
export { writeMapBuffer } from './write-file.js'
