/** True if both are the same type, `any` and optional members included; else false, which is not `satisfies true`. */
export type Exactly<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
