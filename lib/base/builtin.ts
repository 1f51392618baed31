/** The modules of Node that browser-safe files may want, without importing them. */
interface Builtins {
  'node:events': typeof import('node:events')
  'node:zlib': typeof import('node:zlib')
}

/** A built-in module where there is a Node, else undefined: the one door to it for files that run in a browser too. */
export function builtin<N extends keyof Builtins>(name: N): Builtins[N] | undefined {
  const { process } = globalThis as { process?: { getBuiltinModule?: (name: string) => unknown } }
  return process?.getBuiltinModule?.(name) as Builtins[N] | undefined
}
