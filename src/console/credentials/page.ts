// Credentials page: what callers and the gateway show, and when it ends.
import { type Html, html } from '../html.ts';
import { keySetState } from '../key-sets.ts';
import type { ConsolePage } from '../page.ts';
import { badge, card, code, count, emptyState, facts, relativeTime, type Tone, table, time } from '../parts.ts';
import type { ConfiguredCredentials, KeyAuthenticatorFacts, KeyInUse } from './facts.ts';
import { createTimeline, type Timeline } from './timeline.ts';

/** Credentials with their ends. */
export const credentials: ConsolePage = {
  path: '/credentials',
  name: 'Credentials',
  async render({ now, source }) {
    const all = await source.credentials();
    return {
      lead: 'What callers show, what the gateway shows, and when each of them ends.',
      body: html`${keysCard(all, now)}${certificatesCard(all, now)}${clientCertificatesCard(all)}${issuersCard(all)}${revocationsCard(all)}`,
    };
  },
};

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

function keysCard({ keyAuthenticators, keys, period }: ConfiguredCredentials, now: number): Html {
  if (keys.length === 0 && keyAuthenticators.length === 0)
    return card('API keys', emptyState('No authenticator takes API keys: there is nothing to migrate.'), 'keys');
  const sunsets = keyAuthenticators.map(({ sunset }) => sunset).filter((date) => date !== undefined);
  const timeline = createTimeline([...keys.map(({ end }) => end).filter((end) => end !== undefined), ...sunsets], now);
  const used = keys.filter(({ requests }) => requests > 0).length;
  const lead =
    period === undefined
      ? 'No request has been seen since the start of this process.'
      : `${used} of ${keys.length} keys used among the last requests, which began ${relativeTime(period.first, now)}.`;
  return card(
    'API keys and their migration to tokens',
    html`<p>${lead} Over days, <code>portcullis keys report</code> reads the audit log.</p>
${keyAuthenticators.map((each) => datesOf(each, now))}
${table({
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
  rows: keys.map((key) => rowOf(key, timeline, keyAuthenticators, now)),
  empty: 'The authenticator has no keys.',
})}`,
    'keys',
  );
}

function datesOf({ deprecation, guide, name, sunset }: KeyAuthenticatorFacts, now: number): Html {
  return facts([
    ['Authenticator', code(name)],
    ['Deprecation', deprecation === undefined ? 'not announced' : time(deprecation, now)],
    ['Sunset', sunset === undefined ? 'none: each key has its own end' : time(sunset, now)],
    ['Guide', guide === undefined ? 'none' : html`<a href="${guide}" rel="noreferrer">${guide}</a>`],
  ]);
}

function rowOf(key: KeyInUse, timeline: Timeline, all: readonly KeyAuthenticatorFacts[], now: number) {
  const [words, tone] = advices[key.advice];
  const sunset = all.find(({ name }) => name === key.authenticator)?.sunset;
  return [
    code(key.key),
    key.client,
    badge(key.state, keyTones[key.state]),
    count(key.requests),
    key.lastUsed === undefined ? '–' : time(key.lastUsed, now),
    timeline.bar(key.end, sunset),
    endOf(key.end, now),
    badge(words, tone),
  ];
}

function certificatesCard({ certificates }: ConfiguredCredentials, now: number): Html {
  const rows = certificates
    .toSorted((one, other) => one.end - other.end)
    .map(({ end, isList, name, path, subject }) => [
      ...[code(name), code(path), subject],
      endOf(end, now, isList ? dayMs : undefined),
    ]);
  return card(
    'Certificates and revocation lists',
    table({
      caption: 'The first certificate of each file, the first to end first',
      columns: ['Key of the configuration', 'File', 'Subject', 'Ends'],
      rows,
      empty: 'The configuration names no certificate: TLS is ended in front of this gateway.',
    }),
    'certificates',
  );
}

function clientCertificatesCard({ clientCertificates }: ConfiguredCredentials): Html {
  return card(
    'Client certificates that are let in',
    table({
      caption: 'Allowlists of the mtls authenticators',
      columns: ['Identity', 'Client', 'Authenticator', 'Scopes'],
      rows: clientCertificates.map(({ authenticator, client, identity, scopes }) => [
        code(identity),
        client,
        code(authenticator),
        scopes.length === 0 ? html`<span class="muted">none of its own</span>` : scopes.join(' '),
      ]),
      empty: 'No authenticator takes client certificates.',
    }),
    'client-certificates',
  );
}

function issuersCard({ issuers }: ConfiguredCredentials): Html {
  return card(
    'Issuers of tokens',
    table({
      caption: 'Authorization servers whose tokens are taken',
      columns: ['Issuer', 'Authenticator', 'Verified by', 'State'],
      rows: issuers.map(({ authenticator, issuer, keySet, type }) => [
        code(issuer),
        code(authenticator),
        type === 'jwt' ? 'its key set' : 'introspection',
        keySet === undefined
          ? html`<span class="muted">asked for each token</span>`
          : keySetState(keySet).map((each) => html`${each} `),
      ]),
      empty: 'No authenticator takes tokens.',
    }),
    'issuers',
  );
}

function revocationsCard({ revocations: { count: all, entries, path, problem } }: ConfiguredCredentials): Html {
  if (path === undefined)
    return card(
      'Revoked',
      emptyState(html`No list is configured: set <code>revocation.file</code> to revoke without a reload.`),
      'revocations',
    );
  return card(
    'Revoked',
    html`${problem !== undefined && html`<p>${badge('not taken', 'bad')} ${problem}. The list before it stays in force.</p>`}
${table({
  caption: entries.length < all ? `The first ${entries.length} of ${all} entries` : 'Entries of the revocation list',
  columns: ['Id', 'Kind'],
  rows: entries.map(({ id, kind }) => [code(id), kind]),
  empty: html`Nothing is revoked by <code>${path}</code>. <code>portcullis revoke</code> adds to it.`,
})}`,
    'revocations',
  );
}
