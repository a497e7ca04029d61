// Matrix of callers and tools: who can do what by the policy in force, and under which conditions.

import { csvText } from '../../csv.ts';
import { failure } from '../failure.ts';
import { optionsOf, select } from '../html/choice.ts';
import { fitting, type Html, html } from '../html/html.ts';
import { paging } from '../html/long-list.ts';
import { code, hash, listBytes, shorten, time } from '../html/parts.ts';
import { pathOf } from '../links.ts';
import type { PageRequest } from '../page.ts';
import { numberIn, textIn } from '../query.ts';
import type { CellAnswer } from './access-matrix.ts';
import type { AccessFacts, AccessQuestion } from './facts.ts';
import { hiddenFields } from './view-parts.ts';

const itemsOnPage = 40;
const callersOnPage = 10;

type Filter = Pick<AccessQuestion, 'route' | 'tool' | 'client'>;

function filterOf({ query }: PageRequest): Filter {
  return { route: textIn(query, 'route'), tool: textIn(query, 'tool'), client: textIn(query, 'client') };
}

/** The view. */
export async function accessView(request: PageRequest): Promise<Html> {
  const { query, source } = request;
  const filter = filterOf(request);
  const [fromItem, fromCaller] = [numberIn(query, 'item'), numberIn(query, 'caller')];
  const asked = { ...filter, fromItem, items: itemsOnPage, fromCaller, callers: callersOnPage };
  const [found, { routes }] = await Promise.all([source.policyAccess(asked), source.policyNames()]);
  const { client, route, tool } = filter;
  return html`<form class="form" method="get" action="/policy">${hiddenFields(request, 'who-can')}
${select('route', 'Route', route, 'all routes', optionsOf(routes.map(({ name }) => name)))}
<label>Tool (* is any text)<input name="tool" value="${tool}" maxlength="256" autocomplete="off" spellcheck="false"></label>
<label>Client<input name="client" value="${client}" maxlength="256" autocomplete="off" spellcheck="false"></label>
<button>Show</button>
<a class="button" href="${pathOf('/policy/who-can.csv', request, { ...filter })}" download>CSV</a>
<a class="button" href="${pathOf('/policy/who-can.json', request, { ...filter })}" download>JSON</a></form>
${found === undefined ? waiting() : matrix(found, request, filter)}`;
}

function waiting(): Html {
  return html`<p class="empty" role="status">The matrix is worked out between requests. <a href="">Look again</a> in a few seconds.</p>`;
}

function matrix(facts: AccessFacts, request: PageRequest, filter: Filter): Html {
  const { answers, at, callerTotal, callers, cut, fromCaller, fromItem, isNamed, items, itemTotal, policy } = facts;
  const { client, route, tool } = filter;
  const linkTo = (more: Readonly<Record<string, number>>) =>
    pathOf('/policy', request, { view: 'who-can', route, tool, client, item: fromItem, caller: fromCaller, ...more });
  if (items.length === 0 || callers.length === 0)
    return html`<p class="empty">No tool is named so, or it only calls others: ask about those.</p>`;
  const rowOf = (item: AccessFacts['items'][number]) =>
    html`<tr><th scope="row">${itemName(item)}</th>${item.cells.map((answer) => cell(answers[answer]!))}</tr>\n`;
  const titleOf = ({ routeName: name, routePath: path }: AccessFacts['items'][number]) =>
    html`<tr class="group"><th scope="rowgroup" colspan="${callers.length + 1}"><span>${name}${name !== path && html` ${code(path)}`}</span></th></tr>\n`;
  const weighed = items.map((item, index) => {
    const isFirst = item.routeName !== items[index - 1]?.routeName;
    return { item, html: html`${isFirst && titleOf(item)}${rowOf(item)}` };
  });
  const shown = fitting(weighed, listBytes, (each) => each.html);
  const groups = [...Map.groupBy(shown, ({ item }) => item.routeName).values()];
  return html`<p class="lead">By policy ${hash(policy)}, worked out ${time(at, request.now)}. Open a cell for the rule and the conditions that remain.</p>
${!isNamed && html`<p class="empty">No rule, key or certificate names ${code(client)}: it may do what any token may.</p>`}
${(cut.callers > 0 || cut.items > 0) && html`<p class="empty">Too large to show whole: ${cut.callers} callers and ${cut.items} items are left out. The command portcullis who-can has them.</p>`}
<div class="matrix-box" role="region" aria-label="Who can do what" tabindex="0"><table class="matrix" id="matrix">
<caption class="hidden">Callers and what they may do</caption>
<thead><tr><th scope="col">Tool or request</th>${callers.map(
    ({ name, refused }) =>
      html`<th scope="col">${shorten(name)}${refused !== undefined && html`<small>refused: ${refused}</small>`}</th>`,
  )}</tr></thead>
${groups.map((of) => html`<tbody>${of.map((each) => each.html)}</tbody>`)}
</table></div>
<div class="pagings">${paging('Items', { from: fromItem, shown: shown.length, total: itemTotal }, (item) => linkTo({ item }))}
${paging('Callers', { from: fromCaller, shown: callers.length, total: callerTotal }, (caller) => linkTo({ caller }))}</div>`;
}

function itemName({ kind, name }: AccessFacts['items'][number]): Html {
  if (name === '*') return html`any other ${kind}`;
  return kind === 'tool' || kind === 'path' ? code(name) : html`${kind} ${code(name)}`;
}

const words = { yes: 'yes', no: 'no', conditional: 'if …', unknown: '?' };

function cell({ access, condition, rules }: CellAnswer): Html {
  if (access === 'no') return html`<td class="no">no</td>`;
  const why =
    access === 'unknown'
      ? 'More rules with conditions stand before this than are worked out here; portcullis who-can does it.'
      : (condition ?? 'without condition');
  return html`<td class="${access}"><details><summary>${words[access]}</summary>${shorten(why, 1000)}${rules !== undefined && html` <span class="muted">[${rules}]</span>`}</details></td>`;
}

const columns = ['route', 'path', 'kind', 'item', 'caller', 'access', 'condition', 'rules', 'refused'] as const;
type Row = Readonly<Record<(typeof columns)[number], string | undefined>>;

/** Cells of a download; one with more says so by its status. */
const maxDownload = 200_000;
const itemsInAnswer = 400;

/** The cells that the filter asks for, in the columns of `portcullis who-can --format csv`. Throws 503 while they are not worked out, 413 for too many. */
export async function accessDownload(
  request: PageRequest,
  format: 'csv' | 'json',
): Promise<{ readonly text: string; readonly type: string }> {
  const filter = filterOf(request);
  const rows: Row[] = [];
  let policy: string | undefined;
  for (let fromCaller = 0, callerTotal = 1; fromCaller < callerTotal; fromCaller += callersOnPage) {
    for (let fromItem = 0, itemTotal = 1; fromItem < itemTotal; fromItem += itemsInAnswer) {
      const asked = { ...filter, fromItem, items: itemsInAnswer, fromCaller, callers: callersOnPage };
      const found = await request.source.policyAccess(asked);
      policy ??= found?.policy;
      if (found === undefined || found.policy !== policy)
        throw failure(503, 'The matrix is being worked out. Try again in a few seconds.');
      [itemTotal, callerTotal] = [found.itemTotal, found.callerTotal];
      if (itemTotal * callerTotal > maxDownload)
        throw failure(
          413,
          `${itemTotal * callerTotal} cells are too many for a download: choose a route, tools or a client.`,
        );
      rows.push(...rowsOf(found));
    }
  }
  if (format === 'json') return { text: `${JSON.stringify(rows, undefined, 1)}\n`, type: 'application/json' };
  const lines = [columns, ...rows.map((row) => columns.map((column) => row[column]))];
  return { text: csvText(lines), type: 'text/csv; charset=utf-8' };
}

function rowsOf({ answers, callers, items }: AccessFacts): Row[] {
  return items.flatMap(({ cells, kind, name: item, routeName: route, routePath: path }) =>
    cells.map((answer, index): Row => {
      const { access, condition, rules } = answers[answer]!;
      const { name: caller, refused } = callers[index]!;
      return { route, path, kind, item, caller, access, condition, rules, refused };
    }),
  );
}
