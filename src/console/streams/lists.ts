// Lists below the open streams: their sessions, the routes that gave session ids out, and the credentials that are revoked for a time.
import { type Html, html } from '../html/html.ts';
import { partOf } from '../html/list-part.ts';
import { type ListRequest, longTable, shownOf } from '../html/long-list.ts';
import { code, shorten, time } from '../html/parts.ts';
import { maxStreams, type StreamsFacts } from './facts.ts';

/** Lists that the page may show alone. */
export const streamLists = ['sessions', 'issuing', 'revocations'] as const;

/** Kinds of credentials in a word. */
export const credentialKinds = { oauth: 'token', 'api-key': 'key', mtls: 'certificate' } as const;

/** The reach of a temporary revocation. */
export const otherInstances = html`Other instances, also those with the same ${code('state.redis')}, have consoles of their own; the revocation file of ${code('portcullis revoke')} reaches all.`;

/** Sessions with open streams. */
export function sessionPart({ sessions, streams }: StreamsFacts, lists: ListRequest): Html {
  return html`<p class="muted">The gateway seals each session id for its owner and keeps no list of them, so it knows those with a stream${
    streams.length === maxStreams && html` in the table above`
  }. The records of a session have the same mark.</p>
${longTable(
  partOf(sessions, 'sessions', lists.alone),
  { ...lists, name: 'sessions', label: 'Sessions', bytes: 6000, path: '/streams' },
  {
    caption: 'Sessions with open streams',
    isCaptionHidden: true,
    columns: ['Session', 'Route', 'Client', 'Subject', { name: 'Streams', isNumber: true }],
    empty: 'No open stream belongs to a session.',
  },
  ({ client, mark, route, streams: count, subject }) => [
    code(mark),
    route,
    shorten(client ?? '–'),
    shorten(subject ?? '–'),
    count,
  ],
)}`;
}

/** Routes that have given session ids out; undefined where none could. */
export function issuingPart({ routes }: StreamsFacts, lists: ListRequest): Html | undefined {
  if (routes.every(({ issuesSessions }) => issuesSessions === undefined)) return undefined;
  const issuing = partOf(
    routes.filter(({ issuesSessions }) => issuesSessions),
    'issuing',
    lists.alone,
  );
  const list = { ...lists, name: 'issuing', label: 'Routes', bytes: 2000, path: '/streams' };
  const { links, shown } = shownOf(issuing, list, ({ name }) => html`, ${code(name)}`);
  return html`<p class="muted">Session ids were given out on ${
    issuing.total > 0 ? shown.map(({ name }, index) => html`${index > 0 && ', '}${code(name)}`) : 'no route'
  } since the start.</p>${links}`;
}

/** Credentials that are revoked for an hour. */
export function revocationPart({ hasSharedState, revocations }: StreamsFacts, lists: ListRequest): Html {
  const revoked = longTable(
    partOf(revocations, 'revocations', lists.alone),
    { ...lists, name: 'revocations', label: 'Credentials', bytes: 6000, path: '/streams' },
    {
      caption: 'Credentials that an operator has revoked',
      isCaptionHidden: true,
      columns: ['Credential', 'Authenticator', 'By', 'Until'],
      empty: 'No credential is revoked for an hour.',
    },
    ({ authenticator, by, id, kind, until }) => [
      html`${credentialKinds[kind]} ${code(shorten(id))}`,
      authenticator,
      shorten(by),
      time(until, lists.request.now),
    ],
  );
  return html`${revoked}
<p class="muted">They hold in all workers of this instance, in memory. None can be taken back; a restart of the gateway ends all.${hasSharedState && html` ${otherInstances}`}</p>`;
}
