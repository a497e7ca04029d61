// Parts that the views of the policy share: paths, forms, paging.
import { type Html, html } from '../html.ts';
import { workerField } from '../links.ts';
import type { PageRequest } from '../page.ts';

/** Hidden fields of a form that stays on a view and a worker. */
export function hiddenFields(request: Pick<PageRequest, 'worker'>, view: string): Html {
  return html`<input type="hidden" name="view" value="${view}">${workerField(request)}`;
}

/** A list of choices. */
export function select(
  name: string,
  label: string,
  chosen: string | undefined,
  options: readonly (readonly [value: string, text: string])[],
): Html {
  return html`<label>${label}<select name="${name}">${options.map(
    ([value, text]) => html`<option value="${value}"${value === (chosen ?? '') && html` selected`}>${text}</option>`,
  )}</select></label>`;
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
