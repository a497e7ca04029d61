// Scope arithmetic: caps, intersections and implications.

/** The part of a grant within a cap. */
export function capScopes(scopes: readonly string[], cap: ReadonlySet<string> | undefined): readonly string[] {
  return cap === undefined ? scopes : scopes.filter((scope) => cap.has(scope));
}

/** The grant of two credentials together: the intersection. `undefined` limits nothing, and grants nothing by itself. */
export function intersectScopes(
  first: readonly string[] | undefined,
  second: readonly string[] | undefined,
): readonly string[] {
  if (first === undefined || second === undefined) return first ?? second ?? [];
  return first.filter((scope) => second.includes(scope));
}

/** The scopes that each scope implies directly, as configured. */
export type ScopeImplications = Readonly<Record<string, readonly string[]>>;

/** Adds the implied scopes behind those of a grant. A grant that implies nothing is returned as it is. */
export type WidenScopes = (granted: readonly string[]) => readonly string[];

/** Follows the implications to their end once, so that widening is a lookup, cached by grant. */
export function compileImplications(implications: ScopeImplications): WidenScopes {
  const names = Object.keys(implications);
  if (names.length === 0) return (granted) => granted;
  const implied = new Map(names.map((scope) => [scope, impliedBy(scope, implications)]));
  const known = new WeakMap<readonly string[], readonly string[]>();
  return (granted) => {
    let wide = known.get(granted);
    if (wide === undefined) {
      const all = new Set([...granted, ...granted.flatMap((scope) => implied.get(scope) ?? [])]);
      wide = all.size === granted.length ? granted : [...all];
      known.set(granted, wide);
    }
    return wide;
  };
}

/** Everything that a scope implies, directly or through others; itself only where the implications go in a circle. */
export function impliedBy(scope: string, implications: ScopeImplications): readonly string[] {
  const found = new Set<string>();
  const follow = (name: string): void => {
    for (const next of Object.hasOwn(implications, name) ? implications[name]! : []) {
      if (found.has(next)) continue;
      found.add(next);
      follow(next);
    }
  };
  follow(scope);
  return [...found];
}
