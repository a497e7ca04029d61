// Credentials page: what callers and the gateway show, and when it ends.
import { type Html, html } from '../html/html.ts';
import { aloneIn } from '../html/list-part.ts';
import { type ListRequest, type LongList, longTable } from '../html/long-list.ts';
import { badge, card, code, count, emptyState, relativeTime, shorten, type Tone, time } from '../html/parts.ts';
import { keySetState } from '../key-sets.ts';
import { pathOf } from '../links.ts';
import type { ConsolePage } from '../page.ts';
import { type ConfiguredCredentials, type CredentialsQuestion, credentialLists, type KeyInUse } from './facts.ts';
import { createTimeline, type Timeline } from './timeline.ts';

/** Credentials with their ends. */
export const credentials: ConsolePage = {
  path: '/credentials',
  name: 'Credentials',
  async render(request) {
    const alone = aloneIn(request.query, credentialLists);
    const all = await request.source.credentials(alone);
    const lists: ListRequest = { alone, request };
    if (alone !== undefined)
      return {
        lead: html`<a href="${pathOf('/credentials', request)}">All credentials</a>`,
        body: html`${cards[alone.list](all, lists)}`,
      };
    return {
      lead: 'What callers show, what the gateway shows, and when each of them ends.',
      body: html`${credentialLists.map((list) => cards[list](all, lists))}`,
    };
  },
};

type Card = (all: ConfiguredCredentials, lists: ListRequest) => Html | undefined;

const cards: Readonly<Record<CredentialsQuestion['list'], Card>> = {
  keys: keysCard,
  dates: datesCard,
  certificates: certificatesCard,
  clients: clientCertificatesCard,
  issuers: issuersCard,
  revoked: revocationsCard,
};

function longList(name: CredentialsQuestion['list'], label: string, bytes: number, lists: ListRequest): LongList {
  return { ...lists, name, label, bytes, path: '/credentials' };
}

const dayMs = 86_400_000;

/** `notice` is the time before the end from which on it is soon. */
function endOf(end: number | undefined, now: number, notice = 30 * dayMs): Html {
  if (end === undefined) return html`<span class="muted">no end</span>`;
  const tone: Tone = end <= now ? 'bad' : end - now <= notice ? 'warn' : 'neutral';
  return html`${time(end, now)}${tone !== 'neutral' && html` ${badge(end <= now ? 'ended' : 'ends soon', tone)}`}`;
}

const keyTones: Readonly<Record<string, Tone>> = {
  good: 'good',
  'ends soon': 'warn',
  expired: 'bad',
  sunset: 'bad',
  revoked: 'bad',
};

/** The next step of the migration, by the advice of `portcullis keys report`. */
const advices: Readonly<Record<KeyInUse['advice'], readonly [words: string, tone: Tone]>> = {
  'ready to switch': ['has a token too: take the key out', 'good'],
  'needs a token': ['used, and no token seen: register the client', 'warn'],
  switched: ['uses a token only: take the key out', 'good'],
  'not used': ['not seen', 'neutral'],
  refused: ['tried, and refused', 'bad'],
  gone: ['used, and not in the file any more', 'bad'],
};

function keysCard({ keyAuthenticators, keys, period, usedKeys }: ConfiguredCredentials, lists: ListRequest): Html {
  const { now } = lists.request;
  if (keys.total === 0 && keyAuthenticators.total === 0)
    return card('API keys', emptyState('No authenticator takes API keys: there is nothing to migrate.'), 'keys');
  const ends = keys.rows.flatMap(({ end, sunset }) => [end, sunset]).filter((end) => end !== undefined);
  const timeline = createTimeline(ends, now);
  const lead =
    period === undefined
      ? 'No request has been seen since the start of this process.'
      : `${usedKeys} of ${keys.total} keys used among the last requests, which began ${relativeTime(period.first, now)}.`;
  const options = {
    caption: `Keys from now to ${timeline.until}`,
    id: 'migration',
    columns: [
      'Key',
      'Client',
      'State',
      { name: 'Requests', isNumber: true },
      'Last used',
      'Time left',
      'Ends',
      'Migration',
    ],
    empty: 'The authenticator has no keys.',
  };
  return card(
    'API keys and their migration to tokens',
    html`<p>${lead} Over days, <code>portcullis keys report</code> reads the audit log.</p>
${longTable(keys, longList('keys', 'Keys', 20_000, lists), options, (key) => rowOf(key, timeline, now))}`,
    'keys',
  );
}

function rowOf(key: KeyInUse, timeline: Timeline, now: number) {
  const [words, tone] = advices[key.advice];
  return [
    code(key.key),
    key.client,
    badge(key.state, keyTones[key.state]),
    count(key.requests),
    key.lastUsed === undefined ? '–' : time(key.lastUsed, now),
    timeline.bar(key.end, key.sunset),
    endOf(key.end, now),
    badge(words, tone),
  ];
}

function datesCard({ keyAuthenticators }: ConfiguredCredentials, lists: ListRequest): Html | undefined {
  const { now } = lists.request;
  if (keyAuthenticators.total === 0) return undefined;
  const table = longTable(
    keyAuthenticators,
    longList('dates', 'Authenticators', 6000, lists),
    { caption: 'Authenticators of keys', columns: ['Authenticator', 'Deprecation', 'Sunset', 'Guide'] },
    ({ deprecation, guide, name, sunset }) => [
      code(name),
      deprecation === undefined ? 'not announced' : time(deprecation, now),
      sunset === undefined ? 'none: each key has its own end' : time(sunset, now),
      guide === undefined ? 'none' : html`<a href="${guide}" rel="noreferrer">${guide}</a>`,
    ],
  );
  return card('Dates of the migration', table, 'dates');
}

function certificatesCard({ certificates }: ConfiguredCredentials, lists: ListRequest): Html {
  const table = longTable(
    certificates,
    longList('certificates', 'Files', 6000, lists),
    {
      caption: 'The first certificate of each file, the first to end first',
      columns: ['Key of the configuration', 'File', 'Subject', 'Ends'],
      empty: 'The configuration names no certificate: TLS is ended in front of this gateway.',
    },
    ({ end, isList, name, path, subject }) => [
      ...[code(name), code(path), shorten(subject)],
      endOf(end, lists.request.now, isList ? dayMs : undefined),
    ],
  );
  return card('Certificates and revocation lists', table, 'certificates');
}

function clientCertificatesCard({ clientCertificates }: ConfiguredCredentials, lists: ListRequest): Html {
  const table = longTable(
    clientCertificates,
    longList('clients', 'Client certificates', 8000, lists),
    {
      caption: 'Allowlists of the mtls authenticators',
      columns: ['Identity', 'Client', 'Authenticator', 'Scopes'],
      empty: 'No authenticator takes client certificates.',
    },
    ({ authenticator, client, identity, scopes }) => [
      code(identity),
      client,
      code(authenticator),
      scopes.length === 0 ? html`<span class="muted">none of its own</span>` : shorten(scopes.join(' '), 1000),
    ],
  );
  return card('Client certificates that are let in', table, 'client-certificates');
}

function issuersCard({ issuers }: ConfiguredCredentials, lists: ListRequest): Html {
  const table = longTable(
    issuers,
    longList('issuers', 'Issuers', 8000, lists),
    {
      caption: 'Authorization servers whose tokens are taken',
      columns: ['Issuer', 'Authenticator', 'Verified by', 'State'],
      empty: 'No authenticator takes tokens.',
    },
    ({ authenticator, issuer, keySet, type }) => [
      code(issuer),
      code(authenticator),
      type === 'jwt' ? 'its key set' : 'introspection',
      keySet === undefined
        ? html`<span class="muted">asked for each token</span>`
        : keySetState(keySet).map((each) => html`${each} `),
    ],
  );
  return card('Issuers of tokens', table, 'issuers');
}

function revocationsCard({ revocations: { entries, path, problem } }: ConfiguredCredentials, lists: ListRequest): Html {
  if (path === undefined)
    return card(
      'Revoked',
      emptyState(html`No list is configured: set <code>revocation.file</code> to revoke without a reload.`),
      'revocations',
    );
  const table = longTable(
    entries,
    longList('revoked', 'Revoked ids', 6000, lists),
    {
      caption: 'Entries of the revocation list',
      columns: ['Id', 'Kind'],
      empty: html`Nothing is revoked by <code>${path}</code>. <code>portcullis revoke</code> adds to it.`,
    },
    ({ id, kind }) => [code(id), kind],
  );
  return card(
    'Revoked',
    html`${problem !== undefined && html`<p>${badge('not taken', 'bad')} ${problem}. The list before it stays in force.</p>`}
${table}`,
    'revocations',
  );
}
