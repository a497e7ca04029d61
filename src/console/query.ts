// Values of a query: numbers and texts within bounds.

/** A whole number of the query within bounds. */
export function numberIn(query: URLSearchParams, name: string): number {
  const number = Number(query.get(name) ?? 0);
  return Number.isInteger(number) ? Math.min(Math.max(number, 0), 10_000_000) : 0;
}

/** A text of the query; undefined where it is empty or too long to be meant. */
export function textIn(query: URLSearchParams, name: string, maxLength = 256): string | undefined {
  const text = query.get(name)?.trim();
  return text === undefined || text === '' || text.length > maxLength ? undefined : text;
}
