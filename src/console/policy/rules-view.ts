// Rules of each route in their order, with what they match and demand, where they stand, and their hits.

import { optionsOf, select } from '../html/choice.ts';
import { fitting, type Html, html, type Value } from '../html/html.ts';
import { paging } from '../html/long-list.ts';
import { badge, code, count, hash, listBytes, shorten, table, tableRow, time } from '../html/parts.ts';
import { pathOf } from '../links.ts';
import type { PageRequest } from '../page.ts';
import { numberIn, textIn } from '../query.ts';
import type { RuleRow } from './rule-rows.ts';
import { hiddenFields } from './view-parts.ts';

const rowsOnPage = 60;
const choices = [
  ['never', 'never hit'],
  ['unreachable', 'unreachable'],
] as const;

/** The view. */
export async function rulesView(request: PageRequest): Promise<Html> {
  const { now, query, source, worker } = request;
  const route = textIn(query, 'route');
  const only = choices.map(([value]) => value).find((value) => value === query.get('only'));
  const [{ from, inForceSince, policy, rows, total }, { routes }] = await Promise.all([
    source.policyRules({ route, only, from: numberIn(query, 'from'), count: rowsOnPage }),
    source.policyNames(),
  ]);
  const cells = rows.map((row, index) => {
    const isFirst = row.route !== rows[index - 1]?.route;
    return { row, cells: cellsOf(row, request), isFirst };
  });
  // A route has a table of its own, which weighs more than a rule of it.
  const weighed = (each: Cells) =>
    each.isFirst ? routeTable(each.row.route, [each], 0) : tableRow(columns, each.cells);
  const shown = fitting(cells, listBytes, weighed);
  const groups = [...Map.groupBy(shown, ({ row }) => row.route)];
  const counted = worker === undefined ? 'this process' : `worker ${worker} alone`;
  return html`<p class="lead">Policy ${hash(policy)}, in force ${time(inForceSince, now)}. The first rule that matches decides. Hits are what ${counted} has counted since it started, or since the rule stands as it does.</p>
<form class="form" method="get" action="/policy">${hiddenFields(request, 'rules')}
${select('route', 'Route', route, 'all routes', optionsOf(routes.map(({ name }) => name)))}
${select('only', 'Rules', only, 'all', choices)}
<button>Show</button></form>
${groups.map(([name, of], index) => routeTable(name, of, index))}
${groups.length === 0 && html`<p class="empty">No rule is like that.</p>`}
${paging('Rules', { from, shown: shown.length, total }, (at) => pathOf('/policy', request, { view: 'rules', route, only, from: at }))}`;
}

interface Cells {
  readonly row: RuleRow;
  readonly cells: readonly Value[];
  /** The first of its route on the page. */
  readonly isFirst: boolean;
}

const columns = [
  'Rule',
  'Matches',
  'Demands',
  { name: 'Allowed', isNumber: true },
  { name: 'Denied', isNumber: true },
  'Last hit',
];

function routeTable(name: string, rows: readonly Cells[], index: number): Html {
  const path = rows[0]!.row.routePath;
  return html`<section class="card rules" id="route-${index}"><h2>${name}${name !== path && html` ${code(path)}`}</h2>${table(
    {
      caption: `Rules of ${name}`,
      isCaptionHidden: true,
      columns,
      rows: rows.map(({ cells }) => cells),
    },
  )}</section>`;
}

const effects = {
  allow: badge('allow', 'good'),
  deny: badge('deny', 'bad'),
  open: badge('allow', 'good'),
  default: badge('deny', 'bad'),
};

/** Filters of the decisions page, by what the audit records say. */
function decisionsOf({ kind, name }: RuleRow): Readonly<Record<string, string>> {
  return kind === 'default' ? { decision: 'deny', reason: 'denied' } : { rule: name };
}

function cellsOf(row: RuleRow, request: PageRequest): Value[] {
  const { demands, hits, isReported, isUnreachable, kind, limits, message, name, place, warnings } = row;
  const title = { allow: name, deny: name, open: 'needs no rule', default: 'default' }[kind];
  const decisions = pathOf('/decisions', request, decisionsOf(row));
  const { now } = request;
  const marks = [
    effects[kind],
    isReported && badge('report only', 'warn'),
    isUnreachable && badge('unreachable', 'warn'),
    hits.lastMs === 0 && !isUnreachable && badge('never hit'),
  ];
  const where =
    place === undefined ? undefined : html`<span class="muted place">${`${baseName(place.file)}:${place.line}`}</span>`;
  const told = message === undefined ? undefined : html`<p class="note">tells: ${shorten(message, maxWhole)}</p>`;
  const limited = limits.length > 0 && html`<p class="note">limits ${shorten(limits.join(', '), maxWhole)}</p>`;
  return [
    html`<span class="rule">${isReported ? code(title) : html`<a href="${decisions}">${code(title)}</a>`} ${where}</span> <span class="marks">${marks}</span>${warnings.map((each) => html`<p class="note">${shorten(each, maxWhole)}</p>`)}`,
    matchesOf(row),
    html`${demands.length === 0 ? muted('nothing') : demands.map(line)}${limited}${told}`,
    count(hits.allowed),
    count(hits.denied),
    hits.lastMs > 0
      ? time(hits.lastMs, now)
      : html`<span class="muted">never, counted since ${time(hits.sinceMs, now)}</span>`,
  ];
}

function matchesOf({ kind, matches, routePath }: RuleRow): Value {
  if (kind === 'open') return muted('lists, initialize, ping and what else every caller of the route may do');
  if (kind === 'default') return muted('everything that no rule matches');
  return matches.length === 0 ? muted(`everything at ${routePath}`) : matches.map(line);
}

/** Characters of a selector that are shown at once, and in all. */
const maxShown = 200;
const maxWhole = 2000;

function line(text: string): Html {
  if (text.length <= maxShown) return html`<p class="line">${code(text)}</p>`;
  const whole =
    text.length <= maxWhole ? text : `${text.slice(0, maxWhole)}… (${text.length} characters; the file has all)`;
  return html`<details class="line"><summary>${code(`${text.slice(0, maxShown)}…`)}</summary>${code(whole)}</details>`;
}

function muted(text: string): Html {
  return html`<span class="muted">${text}</span>`;
}

function baseName(file: string): string {
  return file.slice(file.lastIndexOf('/') + 1);
}
