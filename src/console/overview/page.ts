// Overview page: what needs attention, the last hour, the policy in force, and the health of what the gateway depends on.
import type { HistoryPoint } from '../../metrics/history.ts';
import { type Html, html, type Value } from '../html/html.ts';
import { type AloneList, aloneIn, partOf } from '../html/list-part.ts';
import { longTable, shownOf } from '../html/long-list.ts';
import {
  badge,
  bytes,
  card,
  chart,
  chartScripts,
  chartStyles,
  code,
  count,
  emptyState,
  facts,
  hash,
  shorten,
  time,
} from '../html/parts.ts';
import { keySetState } from '../key-sets.ts';
import { pathOf } from '../links.ts';
import type { ConsolePage, PageRequest } from '../page.ts';
import { type Attention, findAttention } from './attention.ts';
import type { OverviewFacts } from './facts.ts';

/** The first page, and the example of the others: facts from the source, HTML from the facts. */
export const overview: ConsolePage = {
  path: '/',
  name: 'Overview',
  async render(request) {
    const { now, processes, query, source, worker } = request;
    const [state, history] = await Promise.all([source.overview(), source.requestHistory()]);
    const lists: Lists = { request, alone: aloneIn(query, ['attention', 'health']) };
    const attention = () =>
      html`<div id="attention" data-refresh>${card('Needs attention', attentionList(findAttention(state, processes, now), lists))}</div>`;
    const health = () => html`<div id="health" data-refresh>${card('Health', healthTable(state, lists))}</div>`;
    if (lists.alone !== undefined) {
      const lead = html`<a href="${pathOf('/', request)}">The whole overview</a>`;
      return { lead, body: { attention, health }[lists.alone.list](), scripts: ['refresh.js'] };
    }
    return {
      body: html`
<div id="figures" data-refresh>${figures(state, history, worker)}</div>
${attention()}
<div class="grid">${requestChart(history)}${latencyChart(history)}</div>
<div id="in-force" data-refresh>${card('In force', policyFacts(state, now))}</div>
${health()}`,
      scripts: [...chartScripts, 'refresh.js'],
      styles: chartStyles,
    };
  },
};

interface Lists {
  readonly request: PageRequest;
  readonly alone: (AloneList & { readonly list: 'attention' | 'health' }) | undefined;
}

function figures(
  { notReady, openRequests, openStreams }: OverviewFacts,
  history: readonly HistoryPoint[],
  worker: number | undefined,
): Html {
  const total = (key: 'requests' | 'refused' | 'failed') => history.reduce((sum, point) => sum + point[key], 0);
  const entries: readonly (readonly [string, Value])[] = [
    ['State', notReady.length === 0 ? badge('ready', 'good') : badge('not ready', 'bad')],
    [`Requests, ${spanOf(history)}`, count(total('requests'))],
    ['Refused', count(total('refused'))],
    ['Failed', count(total('failed'))],
    ['Open requests', count(openRequests)],
    ['Open streams', html`<a href="${pathOf('/streams', { worker })}">${count(openStreams)}</a>`],
  ];
  return html`<dl class="figures">${entries.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** The stretch of time that a history covers. */
function spanOf(history: readonly HistoryPoint[]): string {
  const minutes = Math.round(history.reduce((sum, { seconds }) => sum + seconds, 0) / 60);
  if (minutes >= 59) return 'last hour';
  return minutes <= 1 ? 'last minute' : `last ${minutes} minutes`;
}

/** Bytes of the lists beside the charts, and lines and characters of one matter. */
const attentionBytes = 4500;
const healthBytes = 3000;
const maxLines = 10;
const maxLineLength = 200;

function attentionList(found: readonly Attention[], { alone, request }: Lists): Html {
  const { now } = request;
  if (found.length === 0) return emptyState('Nothing. Ends of certificates and keys show here 30 days before.');
  const matter = ({ advice, instant, lines, link, title, tone }: Attention) => html`<li>
<p>${badge(tone === 'bad' ? 'act now' : 'soon', tone)} <strong>${withCode(shorten(title, maxLineLength * 2))}</strong>${instant !== undefined && html` <span class="muted">${time(instant, now)}</span>`}</p>
${lines !== undefined && html`<pre tabindex="0" aria-label="Lines of the problem">${linesOf(lines)}</pre>`}
<p>${withCode(advice)}${link !== undefined && html` <a href="${pathOf(link[0], request)}">${link[1]}</a>`}</p>
</li>`;
  const list = { name: 'attention', label: 'Matters', bytes: attentionBytes, path: '/', request, alone };
  const part = partOf(found, 'attention', alone);
  const { links, shown } = shownOf(part, list, matter);
  const left = found.slice(part.from + shown.length);
  const urgent = left.filter(({ tone }) => tone === 'bad').length;
  return html`<ul class="attention">${shown.map(matter)}</ul>${left.length > 0 && html`<p class="muted">And ${left.length} more: act now on ${urgent === 0 ? 'none' : urgent} of them.</p>`}${links}`;
}

function linesOf(lines: readonly string[]): string {
  const shown = lines.slice(0, maxLines).map((line) => shorten(line, maxLineLength));
  const left = lines.length - shown.length;
  return [...shown, ...(left > 0 ? [`and ${left} more, which portcullis check prints`] : [])].join('\n');
}

/** Text in which \`commands\` stand between backquotes. */
function withCode(text: string): Html[] {
  return text.split('`').map((part, index) => (index % 2 === 1 ? code(part) : html`${part}`));
}

function requestChart(history: readonly HistoryPoint[]): Html {
  const rate = (key: 'requests' | 'refused' | 'failed') => history.map((point) => rounded(point[key] / point.seconds));
  const total = (key: 'requests' | 'refused' | 'failed') =>
    history.reduce((sum, point) => sum + point[key], 0).toLocaleString('en-GB');
  return html`<section class="card">${chart({
    id: 'requests',
    title: 'Requests',
    summary: `${total('requests')} in the ${spanOf(history)}: ${total('refused')} refused, ${total('failed')} failed.`,
    times: history.map((point) => point.time),
    series: [
      { name: 'all', tone: 'accent', values: rate('requests') },
      { name: 'refused', tone: 'warn', values: rate('refused') },
      { name: 'failed', tone: 'bad', values: rate('failed') },
    ],
    unit: '/s',
  })}</section>`;
}

function latencyChart(history: readonly HistoryPoint[]): Html {
  const inMs = (key: 'p50' | 'p95') =>
    history.map((point) => (point[key] === null ? null : rounded(point[key] * 1000)));
  const last = history.findLast(({ p95 }) => p95 !== null);
  return html`<section class="card">${chart({
    id: 'latency',
    title: 'Latency',
    summary:
      last === undefined
        ? 'No request has ended yet.'
        : `Of the last requests, half took under ${rounded(last.p50! * 1000)} ms and 95 of 100 under ${rounded(last.p95! * 1000)} ms. Streams count with their whole life.`,
    times: history.map((point) => point.time),
    series: [
      { name: 'median', tone: 'accent', values: inMs('p50') },
      { name: '95th percentile', tone: 'neutral', values: inMs('p95') },
    ],
    unit: 'ms',
  })}</section>`;
}

/** Three digits that count. */
function rounded(value: number): number {
  return Number(value.toPrecision(3));
}

function policyFacts({ configFile, inForceSince, policy, shadow, version }: OverviewFacts, now: number): Html {
  return facts([
    ['Policy', hash(policy)],
    ['In force', time(inForceSince, now)],
    ['File', code(configFile)],
    ['Shadow', shadow === undefined ? 'none' : html`${hash(shadow.policy)} ${code(shadow.file)}`],
    ['Version', version],
  ]);
}

function healthTable(
  { audit, definitions, issuers, revocation, state, upstreams }: OverviewFacts,
  { alone, request }: Lists,
): Html {
  const rows: Value[][] = [
    ...issuers.map((each): Value[] => [html`Issuer ${code(each.issuer)}`, ...keySetState(each)]),
    ...upstreams.map(({ name, probe, url }): Value[] => [
      html`Upstream ${code(name)}`,
      probe === undefined
        ? badge('not probed')
        : probe
          ? badge('refuses strangers', 'good')
          : badge('probe failed', 'bad'),
      code(url),
    ]),
    ...audit.sinks.map(({ records, required, type }): Value[] => [
      html`Audit sink ${code(type)}`,
      required && !audit.healthy ? badge('not healthy', 'bad') : badge(required ? 'required' : 'best effort', 'good'),
      html`${count(records)} records written`,
    ]),
    ...audit.deliveries.map(({ bytes: waiting, lagSeconds, problem, sink }): Value[] => [
      html`Delivery to ${code(sink)}`,
      problem === undefined ? badge('delivers', 'good') : badge('fails', 'bad'),
      html`${bytes(waiting)} wait, the oldest for ${Math.round(lagSeconds)} s`,
    ]),
  ];
  if (state !== undefined) {
    rows.push([
      'Shared state',
      state.available ? badge('available', 'good') : badge('unavailable', 'bad'),
      `${state.kind}, on failure: ${state.onFailure}`,
    ]);
  }
  if (revocation !== undefined) {
    const { entries, problem } = revocation;
    rows.push([
      'Revocation list',
      problem === undefined ? badge('in force', 'good') : badge('an older one', 'bad'),
      html`${count(entries)} entries`,
    ]);
  }
  for (const { changed, problem, route } of definitions) {
    rows.push([
      html`Definitions of ${code(route)}`,
      changed.length > 0 ? badge('changed', 'bad') : badge('as recorded', 'good'),
      problem === undefined ? html`${count(changed.length)} changed` : shorten(problem),
    ]);
  }
  return longTable(
    partOf(rows, 'health', alone),
    { name: 'health', label: 'Parts', bytes: healthBytes, path: '/', request, alone },
    { caption: 'Health of what the gateway depends on', isCaptionHidden: true, columns: ['Part', 'State', 'More'] },
    (row) => row,
  );
}
