/** The text of `chunk-worker.js` with all it imports; the build fills it in. For bundles, which leave that file behind. */
export const source: string = ''
