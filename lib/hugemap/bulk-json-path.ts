import { ArgumentError } from '../base/errors.js'

/** Steps from the outermost value to one within: names of properties, indexes of arrays. */
export type JsonPath = readonly (string | number)[]

/** `a.b[0].c` as steps. Throws `MILL_INVALID_ARGUMENT`. */
export function parseJsonPath(path: string, argument: string): JsonPath {
  const wrong = (): ArgumentError => new ArgumentError(argument, 'a path such as a.b[0].c', path)
  if (typeof path !== 'string' || path === '') throw wrong()
  const steps: (string | number)[] = []
  for (let at = 0; at < path.length; ) {
    if (path[at] === '[') {
      const end = path.indexOf(']', at)
      const digits = path.slice(at + 1, end)
      if (end < 0 || digits === '' || ![...digits].every((digit) => digit >= '0' && digit <= '9')) throw wrong()
      steps.push(Number(digits))
      at = end + 1
      if (at < path.length && path[at] !== '.' && path[at] !== '[') throw wrong()
      if (path[at] === '.') at++
      if (path[at - 1] === '.' && at === path.length) throw wrong()
    } else {
      let end = at
      while (end < path.length && path[end] !== '.' && path[end] !== '[') end++
      if (end === at) throw wrong()
      steps.push(path.slice(at, end))
      at = end
      if (path[at] === '.' && ++at === path.length) throw wrong()
    }
  }
  return steps
}
