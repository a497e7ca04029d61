// Long lists of a page: as much of each as there is room for, and links to the rest of it.

import { pathOf } from '../links.ts';
import type { PageRequest } from '../page.ts';
import { fitting, type Html, html, type Value } from './html.ts';
import type { AloneList, ListPart } from './list-part.ts';
import { listBytes, type TableOptions, table, tableRow } from './parts.ts';

/** The request of a page, and the list that it asks for. */
export interface ListRequest {
  readonly request: PageRequest;
  readonly alone: AloneList | undefined;
  /** Filters of the page, which the links to the other rows keep. */
  readonly filter?: Readonly<Record<string, string>>;
}

/** A list of a page. */
export interface LongList extends Omit<ListRequest, 'request'> {
  /** In the address. */
  readonly name: string;
  /** Read before the numbers of the rows. */
  readonly label: string;
  /** Bytes of it beside the other lists. Alone it has `listBytes`. */
  readonly bytes: number;
  /** The page. */
  readonly path: string;
  readonly request: { readonly worker?: number | undefined };
}

/** The rows for which there is room, with links to the others, which show the list alone. */
export function shownOf<T>(
  { from, rows, total }: ListPart<T>,
  { alone, bytes, filter, label, name, path, request }: LongList,
  htmlOf: (row: T) => Html,
): { readonly shown: readonly T[]; readonly links: Html | undefined } {
  const shown = fitting(rows, alone?.list === name ? listBytes : bytes, htmlOf);
  const linkTo = (at: number) => pathOf(path, request, { ...filter, list: name, from: at });
  return { shown, links: paging(label, { from, shown: shown.length, total }, linkTo) };
}

/** A table of a long list. */
export function longTable<T>(
  part: ListPart<T>,
  list: LongList,
  options: Omit<TableOptions, 'rows'>,
  cellsOf: (row: T) => readonly Value[],
): Html {
  const cells = { ...part, rows: part.rows.map(cellsOf) };
  const { links, shown } = shownOf(cells, list, (row) => tableRow(options.columns, row));
  return html`${table({ ...options, rows: shown })}${links}`;
}

/** Links to the parts of a long list. A part ends where its page is full, so that where the one before begins is not known: a link leads to the first. */
export function paging(
  label: string,
  { from, shown, total }: Readonly<Record<'from' | 'shown' | 'total', number>>,
  linkTo: (from: number) => string,
): Html | undefined {
  if (total <= shown && from === 0) return undefined;
  const last = from + shown;
  return html`<nav class="paging" aria-label="${label}">
${from > 0 && html`<a class="button" href="${linkTo(0)}">First</a>`}
<span>${label} ${total === 0 ? 0 : from + 1} to ${last} of ${total}</span>
${last < total && html`<a class="button" href="${linkTo(last)}" rel="next">Next</a>`}
</nav>`;
}
