export * from './buffer/index.js'
export * from './mapbuffer/index.js'
export * from './run/index.js'
export * from './streams/index.js'
