// Part of a long list: the beginning, or the rows from one of them on, as the address of a page asks for. Pure.
import { numberIn } from '../query.ts';

/** The one list that a page shows, from a row on. */
export interface AloneList {
  readonly list: string;
  readonly from: number;
}

/** Rows of a list from one of them on, as many as a page may show. */
export interface ListPart<T> {
  readonly rows: readonly T[];
  readonly from: number;
  readonly total: number;
}

/** Rows of one part. */
export const maxRows = 200;

/** The list that `?list=NAME&from=N` asks for; undefined where a page shows the beginning of all of them. */
export function aloneIn<Name extends string>(
  query: URLSearchParams,
  names: readonly Name[],
): (AloneList & { readonly list: Name }) | undefined {
  const list = names.find((name) => name === query.get('list'));
  return list && { list, from: numberIn(query, 'from') };
}

/** The part of a list that is asked for: its beginning, unless it stands alone. */
export function partOf<T>(rows: readonly T[], name: string, alone: AloneList | undefined): ListPart<T> {
  const from = alone?.list === name ? placeIn(rows.length, alone.from) : 0;
  return { rows: rows.slice(from, from + maxRows), from, total: rows.length };
}

/** The place of a row in a list of this length. A place behind the end is the last row. */
export function placeIn(total: number, from: number): number {
  return Math.min(from, Math.max(0, total - 1));
}
