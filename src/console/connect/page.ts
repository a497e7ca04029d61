// Connect page: what to put into each MCP client, and what a client sees.

import { optionsOf, select } from '../html/choice.ts';
import { type Html, html } from '../html/html.ts';
import { aloneIn, partOf } from '../html/list-part.ts';
import { shownOf } from '../html/long-list.ts';
import { badge, card, code, emptyState, facts, listBytes, shorten } from '../html/parts.ts';
import { workerField } from '../links.ts';
import type { ConsolePage } from '../page.ts';
import type { ClientCheck } from './client-check.ts';
import { clientFiles } from './client-files.ts';
import type { AuthorityFacts, EndpointFacts } from './facts.ts';

/** Endpoints for clients. `?route=ROUTE` shows one of them; `?check=ROUTE` also asks the listener as a client does. */
export const connect: ConsolePage = {
  path: '/connect',
  name: 'Connect',
  async render(request) {
    const { query, source, worker } = request;
    const { authority, endpoints } = await source.connect();
    // The default name of a route is its path, which may be of any length.
    const nameIn = (parameter: string) => query.get(parameter)?.trim() || undefined;
    const asked = nameIn('check');
    const check = asked === undefined ? undefined : await source.checkAsClient(asked);
    const route = asked ?? nameIn('route');
    const chosen = endpoints.filter((each) => route === undefined || each.route === route);
    const alone = aloneIn(query, ['endpoints']);
    const part = partOf(chosen, 'endpoints', alone);
    const cards = part.rows.map((endpoint) => endpointCard(endpoint, authority, check, worker));
    const list = { name: 'endpoints', label: 'Endpoints', bytes: listBytes, path: '/connect', request, alone };
    const { links, shown } = shownOf({ ...part, rows: cards }, list, (each) => each);
    return {
      lead: 'What to put into each client, the authority to trust, and what a client sees at this gateway.',
      scripts: ['copy.js'],
      body: html`${endpoints.length > 1 && routeForm(endpoints, route, worker)}${shown}${links}${
        endpoints.length === 0 && emptyState(html`No route is an MCP route: give one an <code>mcp</code> section.`)
      }${endpoints.length > 0 && chosen.length === 0 && emptyState('No MCP route has this name.')}${authorityCard(authority)}`,
    };
  },
  routes(app, read) {
    app.get('/connect/ca.pem', async (request, reply) => {
      const { authority } = await read(request).source.connect();
      if (authority?.isRoot !== true) return reply.callNotFound();
      return reply
        .type('application/x-pem-file')
        .header('content-disposition', 'attachment; filename="portcullis-ca.pem"')
        .send(authority.pem);
    });
  },
};

function routeForm(endpoints: readonly EndpointFacts[], route: string | undefined, worker: number | undefined): Html {
  const routes = optionsOf(endpoints.map((each) => each.route));
  return html`<form class="form" method="get" action="/connect">${workerField({ worker })}${select('route', 'Route', route, 'all routes', routes)}
<button>Show</button></form>`;
}

const kinds: Readonly<Record<string, string>> = {
  jwt: 'access tokens',
  introspection: 'access tokens (introspected)',
  apiKey: 'API keys',
  mtls: 'client certificates',
};

/** Characters of a fact of an endpoint, and of an answer to the check. */
const maxFact = 1000;
const maxSeen = 4000;

function endpointCard(
  { accepts, authorizationServers, route, scopes, upstream, url }: EndpointFacts,
  authority: AuthorityFacts | undefined,
  check: ClientCheck | undefined,
  worker: number | undefined,
): Html {
  const caFile = authority?.isRoot === true ? 'portcullis-ca.pem' : undefined;
  const files = clientFiles({ name: nameOf(upstream), url, caFile });
  return card(
    route,
    html`${facts([
      ['URL', code(url)],
      ['Takes', accepts.map((kind) => kinds[kind] ?? kind).join(', ')],
      [
        'Log-in at',
        authorizationServers.length === 0
          ? 'nowhere: no tokens are taken'
          : shorten(authorizationServers.join(', '), maxFact),
      ],
      ['Asks for', scopes.length === 0 ? 'no scope' : shorten(scopes.join(' '), maxFact)],
    ])}
<form method="get" action="/connect" class="inline"><input type="hidden" name="check" value="${route}">${workerField({ worker })}<button>Check as a client sees it</button></form>
${check !== undefined && checkPart(check)}
<div class="clients">${files.map(
      ({ client, note, path, start, text }) =>
        html`<details><summary>${client}</summary><p>Put into ${code(path)}${note !== undefined && ` ${note}`}:</p><pre tabindex="0" data-copy aria-label="${`${client}: ${path}`}">${text}</pre><p>Then: ${start.command === undefined ? start.words : html`${code(start.command)}${start.words !== undefined && `, ${start.words}`}`}</p></details>`,
    )}</div>`,
  );
}

/** The upstream's name in letters, digits and hyphens, which every client takes. */
function nameOf(upstream: string): string {
  return (
    upstream
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-|-$/g, '') || 'portcullis'
  );
}

const tones = { good: 'passed', warn: 'note', bad: 'failed' } as const;

function checkPart({ steps, url }: ClientCheck): Html {
  return html`<section class="check" aria-label="Check of ${url}"><h3>What a client sees at ${url}</h3><ol>${steps.map(
    ({ name, says, seen, state }) =>
      html`<li><p><strong>${name}</strong> ${badge(tones[state], state)} ${says}</p>${
        seen !== undefined &&
        html`<details><summary>As it came</summary><pre tabindex="0" aria-label="${`${name}, as it came`}">${shorten(seen, maxSeen)}</pre></details>`
      }</li>`,
  )}</ol><p class="muted">The listener of this gateway was asked. What stands in front of it is not seen.</p></section>`;
}

function authorityCard(authority: AuthorityFacts | undefined): Html {
  if (authority === undefined)
    return card(
      'Authority to trust',
      emptyState('TLS is ended in front of this gateway: its certificate is not known here.'),
      'ca',
    );
  const { fingerprint, isRoot, issuer, subject } = authority;
  return card(
    'Authority to trust',
    isRoot
      ? html`<p>The chain of the gateway ends at this root. Clients that do not know it have to be given it.</p>
${facts([
  ['Root', subject],
  ['SHA-256', code(fingerprint)],
])}
<p><a href="/connect/ca.pem" download>portcullis-ca.pem</a> for <code>NODE_EXTRA_CA_CERTS</code> or <code>SSL_CERT_FILE</code>. Compare the fingerprint on another way before you trust it.</p>`
      : html`<p>The chain ends with a certificate of another authority. If it is not a public one, clients need the certificate of that authority.</p>
${facts([
  ['Last certificate', subject],
  ['Issued by', issuer],
  ['SHA-256', code(fingerprint)],
])}`,
    'ca',
  );
}
