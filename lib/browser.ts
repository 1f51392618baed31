export * from './buffer/index.js'
