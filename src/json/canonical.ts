// JSON Canonicalization Scheme (RFC 8785).

/** The canonical text of a parsed JSON value. Half of a surrogate pair, which the RFC refuses, stays an escape. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = value as Readonly<Record<string, unknown>>;
  // By UTF-16 code units, as `sort` compares.
  const names = Object.keys(members).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonicalJson(members[name])}`).join(',')}}`;
}
