/** The compiled text of `chunk-worker.js`; the build fills it in. For bundles, which leave that file behind. */
export const source: string = ''
