// Streams page: what is open now, for whom and until when, the sessions of it, and the two orders of an operator.

import { optionsOf, select } from '../html/choice.ts';
import { fitting, type Html, html, weightOf } from '../html/html.ts';
import { aloneIn } from '../html/list-part.ts';
import {
  badge,
  bytes,
  card,
  code,
  emptyState,
  facts,
  hash,
  listBytes,
  shorten,
  table,
  tableRow,
  time,
} from '../html/parts.ts';
import { pathOf, workerField } from '../links.ts';
import type { ConsolePage, PageRequest } from '../page.ts';
import { type Sorting, type StreamEnd, type StreamFacts, type StreamsFacts, sortings } from './facts.ts';
import { credentialKinds, issuingPart, otherInstances, revocationPart, sessionPart, streamLists } from './lists.ts';
import { answerOrders, noticeOf } from './order-routes.ts';

/** The page, and the forms that it posts. */
export const streams: ConsolePage = {
  path: '/streams',
  name: 'Streams and sessions',
  async render(request) {
    const { query, source } = request;
    const client = query.get('client')?.trim() ?? '';
    const route = query.get('route') ?? '';
    const sort = sortings.find((each) => each === query.get('sort')) ?? 'since';
    const filter = { client, route, sort };
    const found = await source.streams(filter);
    const id = query.get('stream');
    const chosen = id === null ? undefined : await source.stream(id);
    const notice = noticeOf(query);
    const alone = aloneIn(query, streamLists);
    const lists = { request, alone, filter };
    const revocations = () => card('Revoked for an hour', revocationPart(found, lists), 'revocations');
    if (alone !== undefined) {
      const lead = html`<a href="${pathOf('/streams', request, filter)}">All streams and sessions</a>`;
      const sessions = () => card('Sessions', sessionPart(found, lists), 'sessions');
      const issuing = () => card('Sessions', issuingPart(found, lists), 'sessions');
      return { lead, body: { sessions, issuing, revocations }[alone.list]() };
    }
    const one =
      id !== null &&
      (chosen === undefined ? emptyState('That stream is not open any more.') : streamCard(chosen, found, request));
    return {
      lead: 'Event streams and WebSockets that are open now, until when they may be, and the sessions that they belong to.',
      body: html`
${notice !== undefined && html`<p class="notice" role="status" id="notice">${notice}</p>`}
${one}
${card('Open streams', html`${filterForm(filter, found, request)}${streamTable(found, request, listBytes - weightOf(one))}`, 'open-streams')}
${card('Sessions', html`${sessionPart(found, lists)}\n${issuingPart(found, lists)}`, 'sessions')}
${revocations()}`,
    };
  },
  routes: answerOrders,
};

const kinds: Readonly<Record<StreamFacts['kind'], string>> = {
  answer: 'answer (SSE)',
  listening: 'GET stream',
  websocket: 'WebSocket',
};

const ends: Readonly<Record<StreamEnd['why'], string>> = {
  token: 'token expires',
  key: 'key expires',
  sunset: 'sunset of keys',
  certificate: 'certificate expires',
  trust: 'authority or CRL of the certificate ends',
};

const sortingNames: Readonly<Record<Sorting, string>> = {
  since: 'longest open first',
  bytes: 'most bytes first',
  ends: 'first to end',
  client: 'client',
};

function filterForm(
  { client, route, sort }: { readonly client: string; readonly route: string; readonly sort: Sorting },
  { routes }: StreamsFacts,
  { worker }: PageRequest,
): Html {
  const options = (values: readonly (readonly [value: string, name: string])[], chosen: string) =>
    values.map(
      ([value, name]) => html`<option value="${value}"${value === chosen && html` selected`}>${name}</option>`,
    );
  return html`<form class="form" action="/streams" id="filter">
${workerField({ worker })}
<label>Client <input name="client" value="${client}" autocomplete="off" placeholder="part of its id"></label>
${select('route', 'Route', route, 'all', optionsOf(routes.map(({ name }) => name)))}
<label>Order <select name="sort">${options(
    sortings.map((each) => [each, sortingNames[each]]),
    sort,
  )}</select></label>
<button>Show</button>
</form>`;
}

function streamTable({ matching, open, streams: shown }: StreamsFacts, request: PageRequest, bytesLeft: number): Html {
  const { now, viewer } = request;
  const columns = [
    'Client',
    'Address',
    'Credential',
    'Route',
    'Open since',
    { name: 'Bytes', isNumber: true },
    'Ends by itself',
    'Session',
    ...(viewer === undefined ? [] : ['Order']),
  ];
  const cells = shown.map((stream) => [
    html`${shorten(stream.client ?? stream.subject ?? 'anonymous')}${
      stream.subject !== undefined &&
      stream.subject !== stream.client &&
      html`<br><span class="muted">${shorten(stream.subject)}</span>`
    }`,
    stream.address,
    credentialPart(stream),
    html`${stream.route}<br><span class="muted">${kinds[stream.kind]}</span>`,
    time(stream.since, now),
    bytes(stream.bytes),
    stream.isEnding ? badge('ending', 'warn') : endPart(stream.end, now),
    stream.session === undefined ? '–' : code(stream.session),
    ...(viewer === undefined
      ? []
      : [
          html`<a class="button" href="${pathOf('/streams', request, { stream: stream.id })}#chosen" aria-label="End or revoke: stream of ${shorten(stream.client ?? stream.subject ?? stream.address)}">End…</a>`,
        ]),
  ]);
  const rows = fitting(cells, bytesLeft, (row) => tableRow(columns, row));
  const left = matching - rows.length;
  return html`${table({
    caption: `${open} open${matching === open ? '' : `, ${matching} of them as asked for`}${left > 0 ? `; ${left} are left out, as the page shows ${rows.length}` : ''}`,
    id: 'streams',
    columns,
    rows,
    empty: open === 0 ? 'No stream is open.' : 'No open stream is as asked for.',
  })}
${
  viewer === undefined &&
  html`<p class="muted">To end a stream or to revoke a credential here, say with ${code('admin.authenticate')} who may.</p>`
}`;
}

function credentialPart({ certificate, credential }: StreamFacts): Html {
  if (credential === undefined) return html`none`;
  const { authenticator, id, kind } = credential;
  return html`${credentialKinds[kind]} ${id === undefined ? html`<span class="muted">without an id</span>` : hash(id, 24)}<br><span class="muted">${authenticator}${
    certificate !== undefined && html`, certificate ${hash(certificate, 15)}`
  }</span>`;
}

function endPart(end: StreamEnd | undefined, now: number): Html {
  if (end === undefined) return html`never`;
  return html`${time(end.at, now)}<br><span class="muted">${ends[end.why]}</span>`;
}

/** One stream with the two orders; the second press is the confirmation of the first. */
function streamCard(stream: StreamFacts, { hasSharedState }: StreamsFacts, request: PageRequest): Html {
  const { now, viewer } = request;
  const { address, client, credential, id, subject } = stream;
  const whose = [shorten(client ?? subject ?? 'anonymous'), `from ${address}`].join(' ');
  const hidden = html`<input type="hidden" name="csrf" value="${viewer?.csrfToken}">`;
  return card(
    'One stream',
    html`${facts([
      ['Whose', whose],
      ['Credential', credentialPart(stream)],
      ['Route', html`${stream.route}, ${kinds[stream.kind]}`],
      ['Open since', time(stream.since, now)],
      ['Ends by itself', endPart(stream.end, now)],
      ['Request', code(id)],
    ])}
${
  viewer !== undefined &&
  html`<ul>
<li>An ended stream closes after its current event. The client may open another one at once.</li>
<li>${
    credential === undefined
      ? 'The stream has no credential that could be revoked.'
      : credential.id === undefined
        ? html`This token has no id (${code('jti')}), so it cannot be revoked by itself. ${code('portcullis revoke')} takes its subject or its client.`
        : html`A revoked ${credentialKinds[credential.kind]} is refused from the next request on, and all its streams end within five seconds. This cannot be taken back; it ends by itself after an hour, or with a restart of the gateway.${credential.kind === 'oauth' && html` A client that gets another token goes on with that: ${code('portcullis revoke --client')} refuses all its tokens.`}`
  }</li>
${hasSharedState && html`<li>It holds in this instance of the gateway. ${otherInstances}</li>`}
</ul>
<div class="form">
<form method="post" action="${pathOf('/streams/end', request)}">${hidden}<input type="hidden" name="id" value="${id}"><button class="danger" id="end">End this stream</button></form>
${
  credential?.id !== undefined &&
  html`<form method="post" action="${pathOf('/streams/revoke', request)}">${hidden}<input type="hidden" name="kind" value="${credential.kind}"><input type="hidden" name="authenticator" value="${credential.authenticator}"><input type="hidden" name="id" value="${credential.id}"><button class="danger" id="revoke">Revoke this credential for an hour</button></form>`
}
</div>`
}`,
    'chosen',
  );
}
