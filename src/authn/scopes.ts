// Arithmetic on granted scopes.

/** What remains of a grant under a cap; no cap leaves it as it is. */
export function capScopes(scopes: readonly string[], cap: ReadonlySet<string> | undefined): readonly string[] {
  return cap === undefined ? scopes : scopes.filter((scope) => cap.has(scope));
}

/** What several credentials grant together: the intersection. `undefined` limits nothing, and grants nothing by itself. */
export function intersectScopes(
  first: readonly string[] | undefined,
  second: readonly string[] | undefined,
): readonly string[] {
  if (first === undefined || second === undefined) return first ?? second ?? [];
  return first.filter((scope) => second.includes(scope));
}
