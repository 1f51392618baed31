export * from './buffer/index.js'
export * from './mapbuffer/browser.js'
