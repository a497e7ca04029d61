// Decisions page: the last requests, live where there is script, with filters.

import type { RecordFilter } from '../../audit/recent/recent-records.ts';
import { fitting, type Html, html } from '../html/html.ts';
import { table, tableRow } from '../html/parts.ts';
import { pathOf, workerField } from '../links.ts';
import type { ConsolePage } from '../page.ts';
import type { DecisionRow, NewDecisions } from './facts.ts';
import { why } from './why-page.ts';

const outcomes = ['completed', 'refused', 'aborted', 'failed', 'unknown'];
const texts = [
  ['client', 'Client'],
  ['tool', 'Tool'],
  ['rule', 'Rule'],
  ['reason', 'Reason'],
] as const;
/** With its files the page weighs less than 100 KB. */
const tableBytes = 72_000;
const intervalMs = 1000;
const maxTextLength = 256;

/** The last requests of a process. */
export const decisions: ConsolePage = {
  path: '/decisions',
  name: 'Decisions',
  async render({ query, source, worker }) {
    const filter = filterOf(query);
    const before = recordNumberIn(query, 'before');
    const { cursor, next, rows } = await source.decisions({ filter, ...(before !== undefined && { before }) });
    const shown = fitting(rows, tableBytes, (row) => tableRow(columns, cellsOf(row, worker)));
    const older = shown.length < rows.length ? shown.at(-1)?.number : next;
    const linkTo = (more: Readonly<Record<string, number>>, path = '/decisions') =>
      pathOf(path, { worker }, { ...filter, ...more });
    const isNewest = before === undefined;
    return {
      lead: 'The last requests of this process, in memory: at most 10,000, and fewer where their records are long. Each is shown by its audit records.',
      scripts: isNewest ? ['decisions.js'] : [],
      styles: ['decisions.css'],
      body: html`${filterForm(filter, worker)}
<div class="live" id="live"${isNewest && html` data-events="${linkTo({}, '/decisions/events')}" data-cursor="${cursor}"`} hidden>
<button type="button" id="pause">Pause</button>
<span id="live-state">Connecting…</span>
<p class="hidden" id="live-summary" role="status"></p>
</div>
<div class="decisions">${table({
        caption: isNewest ? 'Newest requests first' : 'Older requests',
        id: 'decisions',
        columns,
        rows: shown.map((row) => cellsOf(row, worker)),
      })}</div>
<p class="empty" id="no-decisions"${rows.length > 0 && html` hidden`}>No request that passes the filter. ${isNewest ? 'The next one will be here.' : ''}</p>
<template id="decision-row">${rowTemplate(worker)}</template>
<nav class="paging" aria-label="Older and newer requests">
${!isNewest && html`<a href="${linkTo({})}">Newest</a>`}
${older !== undefined && html`<a id="older" href="${linkTo({ before: older })}">Older</a>`}
</nav>`,
    };
  },
  below: [why],
  routes(app, read, openStream) {
    const known = new WeakMap<NewDecisions, object>();
    /** One object for the streams that share an answer. */
    const dataOf = (found: NewDecisions): object => {
      const { leftOut, rows } = found;
      const data = known.get(found) ?? { rows, leftOut };
      known.set(found, data);
      return data;
    };
    app.get('/decisions/events', async (request, reply) => {
      const { query, source } = read(request);
      const filter = filterOf(query);
      const lastId = request.headers['last-event-id'];
      let isFirst = true;
      let cursor = typeof lastId === 'string' ? lastId : (query.get('cursor') ?? undefined);
      return openStream(request, reply, {
        intervalMs,
        async next() {
          const found = await source.decisionsSince({ filter, ...(cursor !== undefined && { cursor }) });
          const { leftOut, rows } = found;
          cursor = found.cursor;
          const isNews = isFirst || rows.length > 0 || leftOut > 0;
          isFirst = false;
          return isNews ? [{ id: cursor, data: dataOf(found) }] : [];
        },
      });
    });
  },
};

const columns = [
  'Time',
  'Client',
  'Call',
  'Decision',
  'Rule',
  'Reason',
  'Outcome',
  { name: 'Status', isNumber: true },
  { name: 'ms', isNumber: true },
];

/** `assets/decisions.js` fills the same cells. */
function cellsOf(row: DecisionRow, worker: number | undefined) {
  const { call, client, decision, duration, id, outcome, reason, rule, status, time } = row;
  const href = pathOf(`/decisions/${encodeURIComponent(id)}`, { worker });
  return [
    html`<a href="${href}"><time datetime="${time}" title="${time}">${time.slice(11, 23)}</time></a>`,
    client,
    call,
    html`<span class="badge ${decision === 'allow' ? 'good' : decision === 'deny' ? 'bad' : 'neutral'}">${decision || '–'}</span>`,
    rule,
    reason,
    outcome,
    status,
    duration,
  ];
}

const nothing: DecisionRow = {
  number: 0,
  id: '',
  time: '',
  client: '',
  call: '',
  decision: '',
  rule: '',
  reason: '',
  outcome: '',
  status: '',
  duration: '',
};

function rowTemplate(worker: number | undefined): Html {
  return table({ caption: '', columns, rows: [cellsOf(nothing, worker)] });
}

function filterForm(filter: RecordFilter, worker: number | undefined): Html {
  const choice = (name: 'decision' | 'outcome', label: string, values: readonly string[]) =>
    html`<label>${label}<select name="${name}"><option value="">any</option>${values.map(
      (value) => html`<option${filter[name] === value && html` selected`}>${value}</option>`,
    )}</select></label>`;
  return html`<form class="form filter" method="get" action="/decisions" role="search" aria-label="Filter">
${texts.map(
  ([name, label]) =>
    html`<label>${label}<input name="${name}" value="${filter[name]}" maxlength="${maxTextLength}" autocomplete="off" spellcheck="false"></label>`,
)}
${choice('decision', 'Decision', ['allow', 'deny'])}
${choice('outcome', 'Outcome', outcomes)}
${workerField({ worker })}
<button class="primary">Filter</button>
<a class="button" href="${pathOf('/decisions', { worker })}">Clear</a>
</form>`;
}

function filterOf(query: URLSearchParams): RecordFilter {
  const wanted = (name: keyof RecordFilter) => query.get(name)?.slice(0, maxTextLength) || undefined;
  return {
    client: wanted('client'),
    tool: wanted('tool'),
    rule: wanted('rule'),
    reason: wanted('reason'),
    outcome: wanted('outcome'),
    decision: wanted('decision'),
  };
}

/** The number of a record; undefined where it is none. */
function recordNumberIn(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name) ?? '';
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** The page with a filter; with `events` its stream. */
