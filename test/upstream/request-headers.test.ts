// Headers of forwarded requests: what goes on, what is dropped, and identity.
import fc from 'fast-check';
import t from 'tap';
import type { Caller } from '../../src/authn/caller/principal.ts';
import { foldHeaderName } from '../../src/upstream/header-names.ts';
import { encodeHeaderValue } from '../../src/upstream/identity/identity-headers.ts';
import { compileRequestHeaders, type UpstreamSession } from '../../src/upstream/request-headers.ts';
import { agentCaller, configOf } from '../support/forwarder.ts';

const url = 'http://127.0.0.1:5008';
const ours = [
  ['x-forwarded-proto', 'https'],
  ['x-forwarded-host', 'mcp.example.com'],
  ['x-forwarded-for', '192.0.2.7'],
  ['x-forwarded-user', 'agent@clients'],
  ['x-forwarded-client-id', 'ai_agent_prod'],
  ['x-forwarded-scopes', 'dashboards:read queries:execute'],
  ['x-forwarded-auth-method', 'oauth'],
  ['x-forwarded-issuer', 'https://example.auth0.com/'],
  ['x-forwarded-tenant', 'acme'],
  ['x-request-id', 'request-1'],
] as const;

type ShapeOptions = Parameters<typeof configOf>[1] & {
  readonly caller?: Caller | undefined;
  readonly session?: UpstreamSession;
};

function shape(rawHeaders: readonly string[], options: ShapeOptions = {}): readonly (readonly [string, string])[] {
  const config = configOf(url, options);
  const compiled = compileRequestHeaders(config, config.upstreams.up!, config.routes[0]!);
  const caller = 'caller' in options ? options.caller : agentCaller;
  const { session } = options;
  const input = { rawHeaders, caller, session, authorization: undefined, requestId: 'request-1' };
  const flat = compiled({ ...input, clientAddress: '192.0.2.7' });
  return flat.flatMap((name, index) => (index % 2 === 0 ? [[name, flat[index + 1]!] as const] : []));
}

const sorted = (headers: readonly (readonly [string, string])[]): string[] => headers.map((h) => h.join(': ')).sort();

t.test('a path route gets what HTTP and browsers define and what it names, then the identity', (t) => {
  const kept = [
    ['Accept-Encoding', 'gzip'],
    ['Content-Type', 'text/csv'],
    ['If-None-Match', '"a"'],
    ['Range', 'bytes=0-1'],
    ['Origin', 'https://mcp.example.com'],
    ['Referer', 'https://mcp.example.com/'],
    ['Sec-Fetch-Site', 'same-origin'],
    ['sec-ch-ua-platform-version', '"15"'],
    ['Sec-WebSocket-Protocol', 'chat'],
    ['traceparent', '00-1-2-01'],
    ['X-CSRFToken', 'a'],
    ['x-csrftoken', 'b'],
  ] as const;
  const dropped = [
    'Host',
    'evil',
    'Content-Length',
    '3',
    'Expect',
    '100-continue',
    'X-Custom',
    'a',
    'Accept_Language',
    'a',
  ];
  const shaped = shape([...dropped, ...kept.flat()], { route: { forwardHeaders: ['X-CSRFToken'] } });
  t.same(sorted(shaped), sorted([...kept, ...ours]));
  t.throws(() => shape([], { route: { forwardHeaders: ['x_forwarded-user'] } }), /is never forwarded/);
  t.end();
});

t.test('an MCP route gets only what MCP defines, and asks for no compression', (t) => {
  const passing = [
    ['Accept', 'application/json, text/event-stream'],
    ['content-type', 'application/json'],
    ['MCP-Protocol-Version', '2025-11-25'],
    ['mcp-param-user_id', '7'],
    ['traceparent', '00-1-2-01'],
    ['tracestate', 'a=b'],
    ['User-Agent', 'client/1'],
    ['x-wanted', 'yes'],
  ] as const;
  const dropped = [
    'Accept-Encoding',
    'gzip',
    'X-Custom',
    'a',
    'Origin',
    'https://a',
    'Mcp-Session-Id',
    's',
    'mcp_session_id',
    'other',
    'MCP-SESSION-ID',
    'third',
    'Last-Event-ID',
    'e',
    'Accept.',
    'x',
  ];
  const shaped = shape([...passing.flat(), ...dropped], { mcp: { forwardHeaders: ['X-Wanted'] } });
  t.same(sorted(shaped), sorted([...passing, ...ours, ['accept-encoding', 'identity']]));
  t.end();
});

t.test('the session of an MCP route is the verified one, whatever the client’s headers say', (t) => {
  const sent = ['Mcp-Session-Id', 'forged', 'last-event-id', 'other', 'Connection', 'mcp-session-id, last-event-id'];
  const session = { upstreamId: 'of-the-upstream', lastEventId: 'e' };
  const expected = [
    ['mcp-session-id', 'of-the-upstream'],
    ['last-event-id', 'e'],
    ['accept-encoding', 'identity'],
    ...ours,
  ] as const;
  t.same(sorted(shape(sent, { mcp: {}, session })), sorted(expected));
  const withoutEvent = shape(sent, { mcp: {}, session: { ...session, lastEventId: undefined } });
  t.notOk(withoutEvent.some(([name]) => name === 'last-event-id'));
  t.throws(() => shape([], { mcp: { forwardHeaders: ['mcp_session_id'] } }), /never forwarded/);
  t.end();
});

t.test('no credential, forwarded header or method override of the client goes on (H3, X1)', (t) => {
  const names = [
    'Authorization',
    'Proxy-Authorization',
    'Cookie',
    'DPoP',
    'X-Api-Key',
    'X-Partner-Key',
    'Forwarded',
    'X-Forwarded',
    'X-Forwarded-For',
    'X-Forwarded-Client-Cert',
    'X-Forwarded-Uri',
    'X-Forwarded-Prefix',
    'X-Real-IP',
    'X-Original-URL',
    'X-Rewrite-URL',
    'X-HTTP-Method-Override',
    'X-HTTP-Method',
    'X-Method-Override',
    'Client-Cert',
    'Client-Cert-Chain',
    'Remote-User',
    'X-Remote-User',
    'X-Auth-Request-Email',
    'X-Request-Id',
    'X-Whoami',
    'TE',
    'Trailer',
    'Upgrade',
    'Keep-Alive',
    'Proxy-Connection',
    'Transfer-Encoding',
    'HTTP2-Settings',
  ];
  const more = {
    authenticators: {
      keys: { type: 'apiKey', keys: [] },
      partner: { type: 'apiKey', header: 'X-Partner-Key', prefix: 'pk_', keys: [] },
    },
    upstreams: {
      up: { url },
      other: { url, identity: { headers: { subject: 'x-whoami' } } },
    },
  };
  t.same(
    sorted(
      shape(
        names.flatMap((name) => [name, 'evil']),
        { more },
      ),
    ),
    sorted(ours),
  );
  t.end();
});

t.test('identity headers are the defaults, exactly those of a map, or none', (t) => {
  const fixed = ours.slice(0, 3);
  const mapped = shape([], { upstream: { identity: { headers: { subject: 'X-Who', requestId: 'x-trace' } } } });
  t.same(sorted(mapped), sorted([...fixed, ['x-who', 'agent@clients'], ['x-trace', 'request-1']]));
  t.same(sorted(shape([], { upstream: { identity: { headers: false } } })), sorted(fixed));
  t.same(sorted(shape([], { caller: undefined })), sorted([...fixed, ['x-request-id', 'request-1']]));
  t.end();
});

t.test('a fact that the caller does not have is left out', (t) => {
  const principal = { ...agentCaller.principal, clientId: undefined, claims: { tenant: ['a', 'b'] } };
  const names = shape([], { caller: { ...agentCaller, principal } }).map(([name]) => name);
  t.notOk(names.includes('x-forwarded-client-id'));
  t.notOk(names.includes('x-forwarded-tenant'), 'a list names no single tenant');
  t.end();
});

t.test('the upstream’s fixed authorization replaces the client’s', (t) => {
  const shaped = shape(['Authorization', 'Bearer client'], { upstream: { authorization: 'Bearer ours' } });
  t.same(
    shaped.filter(([name]) => /^authorization$/i.test(name)),
    [['authorization', 'Bearer ours']],
  );
  t.end();
});

t.test('forwardHeaders cannot bring back what is always dropped', (t) => {
  for (const header of [
    'authorization',
    'cookie',
    'X_Forwarded_User',
    'accept-encoding',
    'x-auth-token',
    'remote-user',
    'te',
  ]) {
    t.throws(() => shape([], { mcp: { forwardHeaders: [header] } }), /is never forwarded/, header);
  }
  const dashboards = { forwardHeaders: ['x_superset-dashboard.scope'] };
  const preset = { name: 'superset', rules: false } as const;
  t.throws(() => shape([], { mcp: { ...dashboards, preset } }), /is never forwarded/, 'with the preset');
  t.doesNotThrow(() => shape([], { mcp: dashboards }), 'without it');
  const more = { authenticators: { keys: { type: 'apiKey', header: 'x-partner-key', keys: [] } } };
  t.throws(() => shape([], { more, mcp: { forwardHeaders: ['x_partner_key'] } }), /is never forwarded/);
  t.end();
});

t.test('no spelling of an identity header that a client sends ever arrives (property)', (t) => {
  const protectedNames = [
    ...ours.map(([name]) => name),
    'authorization',
    'cookie',
    'remote-user',
    'x-auth-user',
    'client-cert',
    'x-who',
  ];
  const separator = fc.constantFrom('-', '_', '.', '~', '+');
  const spelling = fc
    .tuple(fc.constantFrom(...protectedNames), fc.infiniteStream(separator), fc.infiniteStream(fc.boolean()))
    .map(([name, separators, upper]) =>
      [...name].map((c) => (c === '-' ? separators.next().value! : upper.next().value ? c.toUpperCase() : c)).join(''),
    );
  const more = { upstreams: { up: { url }, other: { url, identity: { headers: { subject: 'x-who' } } } } };
  fc.assert(
    fc.property(spelling, fc.boolean(), (name, mcp) => {
      const shaped = shape([name, 'evil', 'Connection', name], { more, ...(mcp && { mcp: {} }) });
      const same = shaped.filter(([other]) => foldHeaderName(other) === foldHeaderName(name));
      return (
        same.every(([, value]) => value !== 'evil') &&
        same.length === ours.filter(([own]) => own === foldHeaderName(name)).length
      );
    }),
    { numRuns: 500 },
  );
  t.end();
});

t.test('encoded values are printable ASCII, and decoding gives the value back (property)', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (value) => {
      const encoded = encodeHeaderValue(value);
      return /^[\x20-\x7e]*$/.test(encoded) && encoded.trim() === encoded && decodeURIComponent(encoded) === value;
    }),
  );
  t.equal(encodeHeaderValue('Ünï 100%\r\nx: y'), '%C3%9Cn%C3%AF 100%25%0D%0Ax: y');
  t.equal(encodeHeaderValue(' a b '), '%20a b%20');
  const padded = `${' '.repeat(1_000_000)}x`;
  t.equal(encodeHeaderValue(`é${padded}`), `%C3%A9${padded}`, 'in linear time');
  t.throws(() => encodeHeaderValue('\ud800'), { code: 'denied', reason: 'identity' });
  t.end();
});

/** Registered for requests in HTTP, Fetch, client hints, WebSocket and Trace Context, and safe to take over from anybody. */
const defined =
  /^(accept(-charset|-encoding|-language)?|user-agent|origin|referer|date|content-(type|encoding|language|location|disposition|range|md5|digest)|(want-)?((content|repr)-)?digest|if-(none-)?match|if-(un)?modified-since|if-range|range|cache-control|pragma|prefer|priority|idempotency-key|last-event-id|dnt|save-data|upgrade-insecure-requests|device-memory|dpr|(viewport-)?width|downlink|ect|rtt|service-worker(-navigation-preload)?|traceparent|tracestate|sec-(gpc|purpose|(ch|fetch|websocket)-[a-z-]+))$/i;
const definedOnMcp =
  /^(accept|content-type|user-agent|traceparent|tracestate|mcp-(?!session-id$)(param-.+|[a-z0-9-]+))$/i;

t.test('no other header of a client arrives unless it is named, whatever it is called (property)', (t) => {
  const vendor = fc.constantFrom(
    ...[
      'x-',
      'X-User',
      'cf-access-',
      'ssl-client-',
      'x-webauth-',
      'x-amzn-oidc-',
      'x-ms-client-principal',
      'x-ms-token-',
    ],
    ...[
      'x-goog-authenticated-user-',
      'x-goog-iap-',
      'tailscale-user-',
      'x-vouch-',
      'x-pomerium-',
      'x-token-',
      'x-ssl-',
    ],
    ...['impersonate-', 'x-remote-', 'x-kubernetes-', 'oidc_claim_', 'remote_', 'http_', 'user', 'x-envoy-', 'x-jwt-'],
    ...[
      'x-authenticated-',
      'x-consumer-',
      'x-credential-',
      'x-client-',
      'x-spiffe-',
      'x-azure-',
      'fly-',
      'true-client-ip',
    ],
    ...['sec-', 'content-', 'accept-', 'mcp-', 'from', 'via', 'early-data', 'destination', 'baggage', ''],
  );
  const rest = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{0,16}$/);
  const spelt = fc.tuple(vendor, rest, fc.boolean()).map(([prefix, more, upper]) => {
    const name = `${prefix}${more}` || 'x';
    return upper ? name.toUpperCase() : name;
  });
  fc.assert(
    fc.property(spelt, fc.boolean(), (name, isMcp) => {
      const arrives = (options: ShapeOptions): boolean =>
        shape([name, 'evil'], options).some(([, value]) => value === 'evil');
      return arrives(isMcp ? { mcp: {} } : {}) === (isMcp ? definedOnMcp : defined).test(name);
    }),
    { numRuns: 2000 },
  );
  t.end();
});
