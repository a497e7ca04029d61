// Lists below the open streams: their sessions, and the credentials that are revoked for a time.
import { type Html, html } from '../html.ts';
import { type AloneList, partOf } from '../list-part.ts';
import { longTable, shownOf } from '../long-list.ts';
import type { PageRequest } from '../page.ts';
import { code, shorten, time } from '../parts.ts';
import { maxStreams, type StreamsFacts } from './facts.ts';

/** Lists that the page may show alone. */
export const streamLists = ['sessions', 'issuing', 'revocations'] as const;

/** The request, and the list that it asks for. */
export interface Shown {
  readonly request: PageRequest;
  readonly alone: AloneList | undefined;
}

/** Kinds of credentials in a word. */
export const credentialKinds = { oauth: 'token', 'api-key': 'key', mtls: 'certificate' } as const;

/** The reach of a temporary revocation. */
export const otherInstances = html`Other instances, also those with the same ${code('state.redis')}, have consoles of their own; the revocation file of ${code('portcullis revoke')} reaches all.`;

/** Sessions with open streams, and the routes that give session ids out. */
export function sessionPart({ routes, sessions, streams: shown }: StreamsFacts, { alone, request }: Shown): Html {
  const couldIssue = routes.some(({ issuesSessions }) => issuesSessions !== undefined);
  const issuing = partOf(
    routes.filter(({ issuesSessions }) => issuesSessions),
    'issuing',
    alone,
  );
  const list = { name: 'issuing', label: 'Routes', bytes: 2000, path: '/streams', request, alone };
  const issued = shownOf(issuing, list, ({ name }) => html`, ${code(name)}`);
  return html`<p class="muted">The gateway seals each session id for its owner and keeps no list of them, so it knows those with a stream${
    shown.length === maxStreams && html` in the table above`
  }. The records of a session have the same mark.</p>
${longTable(
  partOf(sessions, 'sessions', alone),
  { name: 'sessions', label: 'Sessions', bytes: 6000, path: '/streams', request, alone },
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
)}
${
  couldIssue &&
  html`<p class="muted">Session ids were given out on ${
    issuing.total > 0 ? issued.shown.map(({ name }, index) => html`${index > 0 && ', '}${code(name)}`) : 'no route'
  } since the start.</p>${issued.links}`
}`;
}

/** Credentials that are revoked for an hour. */
export function revocationPart({ hasSharedState, revocations }: StreamsFacts, { alone, request }: Shown): Html {
  const revoked = longTable(
    partOf(revocations, 'revocations', alone),
    { name: 'revocations', label: 'Credentials', bytes: 6000, path: '/streams', request, alone },
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
      time(until, request.now),
    ],
  );
  return html`${revoked}
<p class="muted">They hold in all workers of this instance, in memory. None can be taken back; a restart of the gateway ends all.${hasSharedState && html` ${otherInstances}`}</p>`;
}
