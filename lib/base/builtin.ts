/** The modules of Node that browser-safe files may want, without importing them. */
interface Builtins {
  'node:buffer': typeof import('node:buffer')
  'node:crypto': typeof import('node:crypto')
  'node:events': typeof import('node:events')
  'node:fs': typeof import('node:fs')
  'node:module': typeof import('node:module')
  'node:os': typeof import('node:os')
  'node:path': typeof import('node:path')
  'node:url': typeof import('node:url')
  'node:util': typeof import('node:util')
  'node:v8': typeof import('node:v8')
  'node:zlib': typeof import('node:zlib')
}

/** A built-in module where there is a Node, else undefined: the one door to it for files that run in a browser too. */
export function builtin<N extends keyof Builtins>(name: N): Builtins[N] | undefined {
  const { process } = globalThis as { process?: { getBuiltinModule?: (name: string) => unknown } }
  return process?.getBuiltinModule?.(name) as Builtins[N] | undefined
}

/**
 * An optional CommonJS package, loaded now and synchronously; undefined where there is no Node. No bundler sees the
 * name. Throws what Node throws: `MODULE_NOT_FOUND`, or what the package itself says where it has no binary for this
 * platform.
 */
export function optionalPackage<T>(name: string): T | undefined {
  return builtin('node:module')?.createRequire(import.meta.url)(name) as T | undefined
}
