// Checks across the keys of a configuration, each with its message.
import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { fileOf, lineAt, linesOf, type Parts } from './support.ts';

const hash = 'sha256:9a0364b9e99bb480dd25e1f0284c8555fa1d2c7e1b3c4d5e6f708192a3b4c5d6';
const otherHash = `${hash.slice(0, -1)}7`;
const key = (more: string, id = 'k1', digest = hash) =>
  `{id: ${id}, hash: "${digest}", clientId: c, scopes: [], ${more}}`;
const keys = (...entries: string[]) => `{corp: {type: apiKey, keys: [${entries.join(', ')}]}}`;
const jwt = (more: string) => `{corp: {type: jwt, issuer: https://idp.example.com/, ${more}}}`;
const three =
  '{corp: {type: jwt, issuer: https://a.example/, claims: {tenant: org_id}}, legacy: {type: apiKey, keys: []}, partner: {type: jwt, issuer: https://b.example/}}';
const route = (more: string) => `[{path: /api, upstream: superset, ${more}}]`;
const rules = (list: string) => route(`authenticate: corp, rules: [${list}]`);
const mcp = (list: string) => route(`authenticate: corp, mcp: {rules: [${list}]}`);

/** Parts of the file; then where each line is expected and what it says. `warning: ` begins warnings of an otherwise valid file. */
type Case = readonly [name: string, parts: Parts, ...expected: (readonly [mark: string, rest: string])[]];

async function hold(t: Test, cases: readonly Case[]): Promise<void> {
  for (const [name, parts, ...expected] of cases) {
    const yaml = fileOf(parts);
    const lines = expected.map(([mark, rest]) =>
      rest.startsWith('warning: ') ? `warning: ${lineAt(yaml, mark, rest.slice(9))}` : lineAt(yaml, mark, rest),
    );
    t.same(await linesOf(t.testdir(), yaml), lines, name);
  }
}

const originExpected =
  'expected an origin written out in full, such as https://app.example.com or chrome-extension://abcdefghijklmnop, and never null';

t.test('session keys are random, readable and each there once', async (t) => {
  const random = randomBytes(32);
  const files = {
    'a.key': random.toString('base64'),
    'b.key': random.toString('hex'),
    'weak.key': Buffer.alloc(32).toString('base64'),
  };
  const yaml = (list: string) =>
    fileOf({
      routes: route(`authenticate: corp, mcp: {sessionKeyFiles: [${list}], rules: [{allow: {tools: [a]}}]}`),
    });
  const at = 'routes[0].mcp.sessionKeyFiles';
  t.same(await linesOf(t.testdir(), yaml('a.key'), { files }), []);
  const bad = yaml('a.key, weak.key, none.key');
  t.same(await linesOf(t.testdir(), bad, { files }), [
    lineAt(
      bad,
      '‸weak.key',
      `${at}[1]: holds a session key that is not random; make one with \`openssl rand -base64 32\``,
    ),
    lineAt(bad, '‸none.key', `${at}[2]: cannot read the file: there is no such file`),
  ]);
  const twice = yaml('a.key, b.key');
  t.same(await linesOf(t.testdir(), twice, { files }), [
    `warning: ${lineAt(twice, '‸b.key', `${at}[1]: holds the same key as sessionKeyFiles[0]`)}`,
  ]);
});

t.test('addresses: plain HTTP stays on loopback, and operators have their own', (t) =>
  hold(t, [
    [
      'plain HTTP for everybody',
      { server: '{listen: "0.0.0.0:8443", publicUrl: https://a.example}' },
      [
        'listen: ‸"0.0.0.0',
        'server.listen: plain HTTP is served on loopback only; add tls, or plaintext: true where something else encrypts',
      ],
    ],
    [
      'plain HTTP where it is wanted',
      { server: '{listen: "0.0.0.0:8443", publicUrl: https://a.example, plaintext: true}' },
    ],
    ['plain HTTP on a unix socket', { server: '{listen: "unix:/run/gateway.sock", publicUrl: https://a.example}' }],
    [
      'one socket for both listeners',
      {
        server: '{listen: "unix:/run/gateway.sock", publicUrl: https://a.example}',
        admin: '{listen: "unix:/run/gateway.sock"}',
      },
      ['admin: {listen: ‸', 'admin.listen: server.listen and admin.listen must not be the same address'],
    ],
    [
      'a socket without an absolute path, and one with a path that is too long',
      {
        server: '{listen: "unix:gateway.sock", publicUrl: https://a.example}',
        admin: `{listen: "unix:/${'a'.repeat(107)}"}`,
      },
      [
        'server: {listen: ‸',
        'server.listen: expected unix: and an absolute path, such as unix:/run/portcullis/gateway.sock',
      ],
      ['admin: {listen: ‸', 'admin.listen: the path of a unix socket is at most 107 bytes long'],
    ],
    [
      'proxies on a unix socket, which have no address',
      { server: '{listen: "unix:/run/gateway.sock", publicUrl: https://a.example, trustedProxies: [127.0.0.1]}' },
      [
        'trustedProxies: ‸',
        'warning: server.trustedProxies: no peer of a unix socket has an address: add unix: for who connects to it',
      ],
    ],
    [
      'proxies on a unix socket that nobody listens on',
      { server: '{listen: "127.0.0.1:8443", publicUrl: https://a.example, trustedProxies: ["unix:"]}' },
      ['trustedProxies: ‸', 'warning: server.trustedProxies: unix: is not used: server.listen is no unix socket'],
    ],
    ['IPv6 loopback', { server: '{listen: "[::1]:8443", publicUrl: "http://localhost:8443"}' }],
    [
      'a port that does not exist',
      { server: '{listen: "127.0.0.1:70000", publicUrl: https://a.example}' },
      ['listen: ‸"127.0.0.1:70000', 'server.listen: a port is at most 65535'],
    ],
    [
      'one address for both listeners',
      { admin: '{listen: "127.0.0.1:8443"}' },
      ['admin: {listen: ‸', 'admin.listen: server.listen and admin.listen must not be the same address'],
    ],
    [
      'one port on all addresses',
      { admin: '{listen: "0.0.0.0:8443"}' },
      ['admin: {listen: ‸', 'admin.listen: server.listen and admin.listen must not be the same address'],
    ],
    [
      'the default of the other listener',
      { server: '{listen: "127.0.0.1:9090", publicUrl: https://a.example}', admin: '{}' },
      ['server: {listen: ‸', 'server.listen: server.listen and admin.listen must not be the same address'],
    ],
    [
      'free ports',
      { server: '{listen: "127.0.0.1:0", publicUrl: https://a.example}', admin: '{listen: "127.0.0.1:0"}' },
    ],
    [
      'metrics for everybody',
      { admin: '{listen: "0.0.0.0:9090"}' },
      [
        'admin: {listen: ‸',
        'warning: admin.listen: metrics and status can be reached from everywhere; listen on one address, and the console there needs admin.authenticate',
      ],
    ],
    [
      'ranges and origins that are none',
      {
        server:
          '{listen: "127.0.0.1:1", publicUrl: https://a.example, trustedProxies: [10.0.0.0/33, nowhere], allowedHosts: [b.example, https://b.example, "b.example:65536", "[::1::]"], allowedOrigins: [https://b.example/page, "null"]}',
      },
      ['trustedProxies: [‸10', 'server.trustedProxies[0]: expected an address or a range such as 10.0.0.0/8'],
      [', ‸nowhere', 'server.trustedProxies[1]: expected an address or a range such as 10.0.0.0/8'],
      ['‸https://b.example, ', 'server.allowedHosts[1]: expected a host name, with a port or without'],
      ['‸"b.example:65536"', 'server.allowedHosts[2]: expected a host name, with a port or without'],
      ['‸"[::1::]"]', 'server.allowedHosts[3]: expected a host name, with a port or without'],
      ['[‸https://b.example/page', `server.allowedOrigins[0]: ${originExpected}`],
      ['‸"null"', `server.allowedOrigins[1]: ${originExpected}`],
    ],
  ]),
);

/** Paths that nobody means, in each place that names a claim. */
const claimPaths = [
  ['scopeClaims: [/realm_access//roles]', 'scopeClaims[0]', '"/realm_access//roles" has an empty step'],
  ['clientIdClaims: [a..b]', 'clientIdClaims[0]', '"a..b" has an empty step'],
  [
    'requiredClaims: {realm_access/env: [prod]}',
    'requiredClaims["realm_access/env"]',
    '"realm_access/env" names one claim with a slash',
  ],
  ['claims: {tenant: /realm~access}', 'claims.tenant', '"/realm~access" is no JSON pointer (RFC 6901)'],
] as const;

t.test('claim paths that nobody means are told in each place that names a claim', async (t) => {
  for (const [written, path, message] of claimPaths) {
    const yaml = fileOf({ authenticators: `{corp: {type: jwt, issuer: https://idp.example.com/, ${written}}}` });
    const [line, ...others] = await linesOf(t.testdir(), yaml);
    t.match(line, `authenticators.corp.${path}: ${message}`, written);
    t.same(others, [], written);
  }
});

t.test('upstreams: encrypted or near, with a credential of their own and headers that mean one thing', (t) =>
  hold(t, [
    [
      'plain HTTP over a network',
      { upstreams: '{superset: {url: "http://superset:8088"}}' },
      ['url: ‸"http', 'upstreams.superset.url: plain http is accepted on loopback only; use https, or insecure: true'],
    ],
    ['plain HTTP where it is wanted', { upstreams: '{superset: {url: "http://superset:8088", insecure: true}}' }],
    ['plain HTTP on loopback names', { upstreams: '{superset: {url: "http://[::1]:8088/base"}}' }],
    [
      'TLS for plain HTTP',
      { upstreams: '{superset: {url: "http://localhost:8088", tls: {serverName: x}}}' },
      ['tls: ‸{serverName', 'upstreams.superset.tls: needs an https url'],
    ],
    [
      'user names and queries in the address',
      { upstreams: '{superset: {url: "https://a:b@s.example"}, t: {url: "https://s.example/?x"}}' },
      ['superset: {url: ‸', 'upstreams.superset.url: expected an http(s) URL without a user name'],
      [', t: {url: ‸', 'upstreams.t.url: expected a URL without a query'],
    ],
    [
      'a line break in the authorization',
      { upstreams: '{superset: {url: "http://localhost:1", authorization: "Bearer a\\nb"}}' },
      ['authorization: ‸', 'upstreams.superset.authorization: expected printable ASCII'],
    ],
    [
      'identity headers of the protocol, and two facts in one',
      {
        upstreams:
          '{superset: {url: "http://localhost:1", identity: {headers: {subject: Authorization, clientId: x-user, scopes: X_User, issuer: mcp-name, tenant: content-length}}}}',
      },
      [
        'subject: ‸',
        'upstreams.superset.identity.headers.subject: "authorization" is a header of HTTP, MCP or the gateway itself',
      ],
      ['scopes: ‸X', 'upstreams.superset.identity.headers.scopes: "x_user" carries clientId already'],
      [
        'issuer: ‸mcp-name',
        'upstreams.superset.identity.headers.issuer: "mcp-name" is a header of HTTP, MCP or the gateway itself',
      ],
      [
        'tenant: ‸',
        'upstreams.superset.identity.headers.tenant: "content-length" is a header of HTTP, MCP or the gateway itself',
      ],
    ],
    [
      'a fact that is none',
      { upstreams: '{superset: {url: "http://localhost:1", identity: {headers: {subjct: x-user}}}}' },
      [
        'subjct: ‸',
        'upstreams.superset.identity.headers.subjct: is no fact, and no authenticator has a claim "subjct" (did you mean "subject"?)',
      ],
    ],
    [
      'a claim that no authenticator has',
      {
        authenticators: '{corp: {type: jwt, issuer: https://idp.example.com/, claims: {email: mail}}}',
        upstreams: '{superset: {url: "http://localhost:1", identity: {headers: {emial: x-email}}}}',
      },
      [
        'emial: ‸',
        'upstreams.superset.identity.headers.emial: is no fact, and no authenticator has a claim "emial" (did you mean "email"?)',
      ],
    ],
    [
      'an upstream and an authenticator that nobody uses',
      {
        upstreams: '{superset: {url: "http://localhost:1"}, spare: {url: "http://localhost:2"}}',
        authenticators: '{corp: {type: jwt, issuer: https://a.example}, spare: {type: jwt, issuer: https://b.example}}',
      },
      ['spare: ‸{type', 'warning: authenticators.spare: is not used by any route'],
      ['spare: ‸{url', 'warning: upstreams.spare: is not used by any route'],
    ],
  ]),
);

t.test('egressProxy is an HTTP proxy, and one of the environment that is none is told of', async (t) => {
  const server = (proxy: string) =>
    fileOf({ server: `{listen: "127.0.0.1:8443", publicUrl: https://mcp.example.com, egressProxy: "${proxy}"}` });
  const socks = { env: { https_proxy: 'socks5://proxy:1080' } };
  t.same(await linesOf(t.testdir(), server('http://user:secret@proxy.internal:3128'), socks), []);
  const wrong = server('socks5://user:secret@proxy');
  t.same(await linesOf(t.testdir(), wrong), [
    lineAt(
      wrong,
      'egressProxy: ‸',
      'server.egressProxy: expected http:// or https://, host and port of a proxy, with user:password@ if it needs them',
    ),
  ]);
  const plain = fileOf();
  t.same(await linesOf(t.testdir(), plain, socks), [
    `warning: ${lineAt(plain, 'server: ‸', 'server: HTTPS_PROXY of the environment is no proxy of http or https and is not used; see egressProxy')}`,
  ]);
});

t.test('scopePrefix: rules speak the short names, and a prefix ends where a scope begins', (t) => {
  const asking = (scope: string) => route(`authenticate: corp, scopes: ["${scope}"]`);
  return hold(t, [
    ['fine', { authenticators: jwt('scopePrefix: "api://APP/"'), routes: asking('x') }],
    [
      'no slash',
      { authenticators: jwt('scopePrefix: "api://APP"'), routes: asking('x') },
      [
        'scopePrefix: ‸',
        'warning: authenticators.corp.scopePrefix: scopes are asked for as "api://APPread"; mostly a / belongs at its end',
      ],
    ],
    [
      'the long name in a rule',
      { authenticators: jwt('scopePrefix: "api://APP/"'), routes: asking('api://APP/x') },
      [
        '[‸{path: /api',
        'warning: routes[0]: a rule asks for "api://APP/x", but tokens have "x": rules have no scopePrefix',
      ],
    ],
    [
      'no scope begins so',
      { authenticators: jwt('scopePrefix: "my app/"'), routes: asking('x') },
      ['scopePrefix: ‸', 'authenticators.corp.scopePrefix: expected the beginning of a scope, such as api://APP/'],
    ],
    [
      'two prefixes on one route',
      {
        authenticators:
          '{corp: {type: jwt, issuer: https://a.example/, scopePrefix: "api://APP/"}, other: {type: jwt, issuer: https://b.example/}}',
        routes: route('authenticate: {anyOf: [corp, other]}, scopes: [x]'),
      },
      [
        'authenticate: ‸',
        'warning: routes[0].authenticate: its authenticators have different scopePrefix; the metadata name scopes as the first one does',
      ],
    ],
  ]);
});

t.test('implied scopes: no circles, and none that nobody asks for', (t) => {
  const asked = rules(
    '{allow: {}, require: {scopes: ["d:read"], anyScope: ["q:run"], when: "\'x:any\' in principal.scopes"}}',
  );
  return hold(t, [
    [
      'a hierarchy',
      { routes: asked, more: 'scopeImplies: {admin: ["d:write", "q:run", "x:any"], "d:write": ["d:read"]}' },
    ],
    [
      'nobody asks for it',
      { routes: asked, more: 'scopeImplies: {"d:write": ["d:raed"]}' },
      ['‸"d:raed"', 'warning: scopeImplies["d:write"][0]: no rule asks for "d:raed" (did you mean "d:read"?)'],
    ],
    [
      'named twice',
      { routes: asked, more: 'scopeImplies: {"d:write": ["d:read", q, "d:read"], q: ["d:read"]}' },
      ['‸"d:read"], q:', 'warning: scopeImplies["d:write"][2]: is named twice'],
    ],
    [
      'itself',
      { routes: asked, more: 'scopeImplies: {"d:read": ["d:read"]}' },
      ['‸"d:read"]}', 'scopeImplies["d:read"][0]: "d:read" implies "d:read" again: a scope must not imply itself'],
    ],
    [
      'a circle',
      { routes: asked, more: 'scopeImplies: {a: ["d:read"], "d:read": [b], b: [a]}' },
      ['‸"d:read"], "d', 'scopeImplies.a[0]: "d:read" implies "a" again: a scope must not imply itself'],
      ['‸b], b', 'scopeImplies["d:read"][0]: "b" implies "d:read" again: a scope must not imply itself'],
      ['‸a]}', 'scopeImplies.b[0]: "a" implies "b" again: a scope must not imply itself'],
    ],
    [
      'no list, no scope',
      { routes: asked, more: 'scopeImplies: {a: [], b: ["x y"]}' },
      ['a: ‸[]', 'scopeImplies.a: expected at least 1 item'],
      ['‸"x y"', 'scopeImplies.b[0]: expected a scope (no spaces, quotes or backslashes)'],
    ],
  ]);
});

t.test('metadata: one resource at each place, an identifier in ASCII, and nothing that no client should ask for', (t) =>
  hold(t, [
    [
      'two hosts, one path',
      {
        routes:
          '[{path: /a, upstream: superset, authenticate: corp, resource: "https://a.example/x"}, {path: /b, upstream: superset, authenticate: corp, resource: "https://b.example/x"}]',
      },
      [
        'resource: ‸"https://b.example',
        'routes[1].resource: its metadata would be where that of "https://a.example/x", the resource of route "/a", is',
      ],
    ],
    [
      'one resource for two routes, and none where no token is taken',
      {
        authenticators: `{corp: {type: jwt, issuer: https://idp.example.com/}, legacy: {type: apiKey, keys: [${key('expires: 2099-01-01')}]}}`,
        routes:
          '[{path: /a, upstream: superset, authenticate: corp, resource: "https://a.example/x"}, {path: /b, upstream: superset, authenticate: corp, resource: "https://a.example/x"}, {path: /c, upstream: superset, authenticate: legacy, resource: "https://c.example/x"}]',
      },
    ],
    [
      'an identifier with a quote',
      { routes: route('authenticate: corp, resource: "https://a.example/x\\"y"') },
      ['resource: ‸"https', 'routes[0].resource: expected a URL in ASCII, all else percent-encoded'],
    ],
    [
      'refresh tokens',
      { routes: route('authenticate: corp, mcp: {challengeScopes: [offline_access], rules: [{allow: {tools: [a]}}]}') },
      [
        '‸offline_access',
        'routes[0].mcp.challengeScopes[0]: "offline_access" is between a client and its authorization server; no challenge asks for it',
      ],
    ],
    [
      'a first challenge for what no rule takes',
      {
        routes: route(
          'authenticate: corp, mcp: {challengeScopes: ["d:raed", "d:write", "x:any"], rules: [{allow: {tools: [a]}, require: {scopes: ["d:read"]}}]}',
        ),
        more: 'scopeImplies: {"d:write": ["d:read"]}',
      },
      [
        '‸"d:raed"',
        'warning: routes[0].mcp.challengeScopes[0]: no rule of this route asks for "d:raed" (did you mean "d:read"?)',
      ],
      ['‸"x:any"', 'warning: routes[0].mcp.challengeScopes[2]: no rule of this route asks for "x:any"'],
    ],
    [
      'the place of the mirror',
      {
        routes: '[{path: /.well-known/oauth-authorization-server, authenticate: none, respond: {text: mine}}]',
        authenticators: '{}',
        upstreams: '{}',
      },
      [
        '‸/.well-known',
        "routes[0].path: is where the gateway repeats its issuer's metadata; set server.authorizationServerMetadata: off to answer it yourself",
      ],
    ],
  ]),
);

t.test('issuers: one authenticator each, encrypted, for the resources that are there', (t) =>
  hold(t, [
    [
      'an issuer twice',
      {
        authenticators:
          '{corp: {type: jwt, issuer: https://a.example/}, again: {type: jwt, issuer: https://a.example/}}',
        routes: route('authenticate: {anyOf: [corp, again]}'),
      },
      ['again: {type: jwt, issuer: ‸', 'authenticators.again.issuer: is the issuer of authenticator "corp" already'],
    ],
    [
      'issuers that differ in a slash',
      {
        authenticators:
          '{corp: {type: jwt, issuer: https://a.example/}, again: {type: jwt, issuer: https://a.example}}',
        routes: route('authenticate: {anyOf: [corp, again]}'),
      },
    ],
    [
      'plain HTTP over a network',
      { authenticators: '{corp: {type: jwt, issuer: "http://idp.example", jwksUri: "http://keys.example/jwks"}}' },
      [
        'issuer: ‸',
        'authenticators.corp.issuer: plain http is accepted on loopback only; use https, or insecure: true',
      ],
      [
        'jwksUri: ‸',
        'authenticators.corp.jwksUri: plain http is accepted on loopback only; use https, or insecure: true',
      ],
    ],
    ['plain HTTP on loopback', { authenticators: '{corp: {type: jwt, issuer: "http://127.0.0.1:9000"}}' }],
    [
      'an issuer with a query',
      { authenticators: '{corp: {type: jwt, issuer: "https://a.example/?x"}}' },
      ['issuer: ‸', 'authenticators.corp.issuer: must not have a query (RFC 8414 §2)'],
    ],
    [
      'keys that are stale before they are refreshed',
      { authenticators: jwt('keySet: {refresh: 1h, maxStale: 1m}') },
      ['maxStale: ‸', 'authenticators.corp.keySet.maxStale: must not be shorter than refresh'],
    ],
    [
      'clocks that may differ by more than minutes, and a timer that would overflow',
      { authenticators: jwt('clockTolerance: 1h, keySet: {refresh: 40d, maxStale: 50d}') },
      ['clockTolerance: ‸', 'authenticators.corp.clockTolerance: expected at most 5m'],
      ['refresh: ‸', 'authenticators.corp.keySet.refresh: expected at most 24d'],
    ],
    [
      'an audience that a route is not in',
      { authenticators: jwt('audience: [https://mcp.example.com/other]') },
      [
        'audience: ‸',
        'authenticators.corp.audience: does not hold "https://mcp.example.com/api", the resource of route "/api"',
      ],
    ],
    [
      'an audience that names the resource given to the route',
      {
        authenticators: jwt('audience: https://other.example/api'),
        routes: route('authenticate: corp, resource: https://other.example/api'),
      },
    ],
    [
      'an audience held against an optional authenticator too',
      {
        authenticators: `{corp: {type: jwt, issuer: https://a.example, audience: x}, legacy: {type: apiKey, keys: []}}`,
        routes: route('authenticate: {anyOf: [legacy], optional: [corp]}'),
      },
      [
        'audience: ‸',
        'authenticators.corp.audience: does not hold "https://mcp.example.com/api", the resource of route "/api"',
      ],
    ],
  ]),
);

t.test('introspection: one endpoint a route, an authenticated client, an issuer of its own', async (t) => {
  const asking = (more: string) =>
    `{corp: {type: introspection, endpoint: https://a.example/i, issuer: https://a.example/, clientId: c, ${more}}}`;
  const two = (authenticate: string): Parts => ({
    authenticators:
      '{corp: {type: introspection, endpoint: https://a.example/i, issuer: https://a.example/, clientId: c, clientSecret: s}, other: {type: introspection, endpoint: https://b.example/i, issuer: https://b.example/, clientId: c, clientSecret: s}}',
    routes: route(`authenticate: ${authenticate}`),
  });
  const one =
    'a route can have one introspection authenticator, and has "corp" already: a token does not tell which of them to ask';
  await hold(t, [
    ['a secret', { authenticators: asking('clientSecret: s') }],
    [
      'no secret',
      { authenticators: asking('cacheFor: 1m') },
      [
        'corp: ‸{type',
        'authenticators.corp: needs either clientSecret or clientKeyFile: the endpoint answers authenticated clients only',
      ],
    ],
    [
      'an assertion without a key',
      { authenticators: asking('clientSecret: s, clientAuthentication: private_key_jwt') },
      ['clientAuthentication: ‸private', 'authenticators.corp.clientAuthentication: needs clientKeyFile'],
    ],
    [
      'the name of a key without a key',
      { authenticators: asking('clientSecret: s, clientKeyId: k') },
      ['clientKeyId: ‸k', 'authenticators.corp.clientKeyId: has no meaning without clientKeyFile'],
    ],
    [
      'an endpoint in clear',
      { authenticators: asking('clientSecret: s').replace('https://a.example/i', '"http://a.example/i"') },
      [
        'endpoint: ‸"http',
        'authenticators.corp.endpoint: plain http is accepted on loopback only; use https, or insecure: true',
      ],
    ],
    [
      'kept too long',
      { authenticators: asking('clientSecret: s, cacheFor: 2h') },
      ['cacheFor: ‸2h', 'authenticators.corp.cacheFor: expected at most 1h'],
    ],
    [
      'an audience that is not here',
      { authenticators: asking('clientSecret: s, audience: https://x.example') },
      [
        'audience: ‸https',
        'authenticators.corp.audience: does not hold "https://mcp.example.com/api", the resource of route "/api"',
      ],
    ],
    [
      'two on one route',
      two('{anyOf: [corp, other]}'),
      ['anyOf: [corp, ‸other', `routes[0].authenticate.anyOf[1]: ${one}`],
    ],
    [
      'two, one of them optional',
      two('{anyOf: [corp], optional: [other]}'),
      ['optional: [‸other', `routes[0].authenticate.optional[0]: ${one}`],
    ],
    [
      'a JWT authenticator of the same issuer',
      {
        authenticators:
          '{corp: {type: jwt, issuer: https://a.example/}, other: {type: introspection, endpoint: https://a.example/i, issuer: https://a.example/, clientId: c, clientSecret: s}}',
        routes: route('authenticate: {anyOf: [corp, other]}'),
      },
      [
        'issuer: ‸https://a.example/, clientId',
        'authenticators.other.issuer: is the issuer of authenticator "corp" already',
      ],
    ],
  ]);
  const ed448 = generateKeyPairSync('ed448').privateKey.export({ type: 'pkcs8', format: 'pem' });
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({ type: 'pkcs8', format: 'pem' });
  const keyFiles: [content: string, message: string | undefined][] = [
    [generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), undefined],
    ['nonsense', 'the file holds no PEM private key'],
    [ed448.toString(), 'expected an RSA, EC or Ed25519 key'],
    [weak.toString(), 'holds an RSA key of 1024 bits; between 2048 and 8192 are accepted'],
  ];
  for (const [content, message] of keyFiles) {
    const yaml = fileOf({ authenticators: asking('clientKeyFile: c.pem') });
    const lines =
      message === undefined ? [] : [lineAt(yaml, '‸c.pem', `authenticators.corp.clientKeyFile: ${message}`)];
    t.same(await linesOf(t.testdir(), yaml, { files: { 'c.pem': content } }), lines);
  }
});

t.test('issuer presets: a server like that, and audiences that have no default', (t) =>
  hold(t, [
    [
      'an issuer of somebody else',
      {
        authenticators:
          '{corp: {type: jwt, preset: entra, issuer: https://login.microsoftonline.com/common/v2.0, audience: "api://a"}}',
      },
      [
        'issuer: ‸',
        'warning: authenticators.corp.issuer: does not look like one of preset entra: https://login.microsoftonline.com/TENANT-ID/v2.0',
      ],
    ],
    [
      'an application without a name',
      {
        authenticators:
          '{corp: {type: jwt, preset: entra, issuer: https://sts.windows.net/0f3b2c1d-4e5f-4a6b-8c7d-9e0f1a2b3c4d/}}',
      },
      [
        'corp: ‸{',
        'authenticators.corp: audienceForm identifier needs audience: the names that the issuer has for this gateway, such as api://…',
      ],
    ],
    [
      'clients without ids',
      { authenticators: jwt('audienceForm: clientId') },
      [
        'audienceForm: ‸',
        'authenticators.corp.audienceForm: audienceForm clientId needs audience: the ids of the clients whose tokens are accepted',
      ],
    ],
    ['names instead of resources', { authenticators: jwt('audienceForm: identifier, audience: "api://gateway"') }],
    [
      'the preset’s form overridden',
      {
        authenticators:
          '{corp: {type: jwt, preset: cognito, issuer: https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_X, audienceForm: resource}}',
      },
    ],
    [
      'a preset that nobody knows',
      { authenticators: jwt('preset: azure') },
      [
        'preset: ‸',
        'authenticators.corp.preset: expected one of "auth0", "entra", "okta", "keycloak", "google", "cognito"',
      ],
    ],
  ]),
);

t.test('API keys: real hashes, each once, with an end', (t) => {
  const placeholder = 'is a placeholder; `portcullis keys new` makes a key and its hash';
  const malformed = 'expected sha256: and 64 hex digits; `portcullis keys new` makes a key and its hash';
  const single = (digest: string, message: string): Case => [
    digest,
    { authenticators: keys(key('expires: 2027-01-01', 'k1', digest)) },
    ['hash: ‸', `authenticators.corp.keys[0].hash: ${message}`],
  ];
  return hold(t, [
    single(`sha256:${'0'.repeat(64)}`, placeholder),
    single(`sha256:${'ab'.repeat(32)}`, placeholder),
    single(`sha256:${'DEADBEEF'.repeat(8)}`, placeholder),
    single(`sha256:${'0123456789abcdef'.repeat(4)}`, placeholder),
    single('sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', placeholder),
    single('sha256:057ba03d6c44104863dc7361fe4578965d1887360f90a0895882e58a6248fc86', placeholder),
    single('sha256:<64 hex digits>', malformed),
    single(hash.slice(0, -1), malformed),
    single(hash.slice('sha256:'.length), malformed),
    single(hash.replace('sha256', 'sha512'), malformed),
    ['a key that ends', { authenticators: keys(key('expires: 2027-01-01')) }],
    [
      'a key without an end',
      { authenticators: keys(key('')) },
      ['keys: [‸{', 'authenticators.corp.keys[0]: key "k1" needs expires, or its authenticator a sunset'],
    ],
    [
      'a key that ends with all others',
      { authenticators: `{corp: {type: apiKey, sunset: 2027-03-01, keys: [${key('')}]}}` },
    ],
    [
      'a key that ends before it begins',
      { authenticators: keys(key('notBefore: 2027-01-01, expires: 2027-01-01')) },
      ['expires: ‸', 'authenticators.corp.keys[0].expires: must be after notBefore'],
    ],
    [
      'a key that has ended',
      { authenticators: keys(key('expires: 2026-11-01')) },
      ['expires: ‸', 'warning: authenticators.corp.keys[0].expires: key "k1" has expired'],
    ],
    [
      'an id and a hash twice, over all authenticators',
      {
        authenticators: `{corp: {type: apiKey, keys: [${key('expires: 2027-01-01')}]}, more: {type: apiKey, prefix: pk_, header: x-more, keys: [${key('expires: 2027-01-02', 'k1', otherHash)}, ${key('expires: 2027-01-03', 'k3')}]}}`,
        routes: route('authenticate: {anyOf: [corp, more]}'),
      },
      ['x-more, keys: [{id: ‸', 'authenticators.more.keys[0].id: key "k1" is there already'],
      ['id: k3, hash: ‸', 'authenticators.more.keys[1].hash: is the hash of key "k1" already'],
    ],
    [
      'networks and dates that are none',
      { authenticators: keys(key('expires: 2027-02-30, notBefore: tomorrow, networks: [10.0.0.0/8/8]')) },
      [
        'expires: ‸',
        'authenticators.corp.keys[0].expires: expected a date such as 2026-12-31 or an instant such as 2026-12-31T12:00:00Z',
      ],
      [
        'notBefore: ‸',
        'authenticators.corp.keys[0].notBefore: expected a date such as 2026-12-31 or an instant such as 2026-12-31T12:00:00Z',
      ],
      ['networks: [‸', 'authenticators.corp.keys[0].networks[0]: expected an address or a range such as 10.0.0.0/8'],
    ],
    [
      'no keys at all',
      { authenticators: '{corp: {type: apiKey}}' },
      ['corp: ‸{', 'authenticators.corp: needs keys or keysFile'],
    ],
    [
      'a sunset before its announcement',
      { authenticators: '{corp: {type: apiKey, deprecation: 2027-01-02, sunset: 2027-01-01, keys: []}}' },
      ['sunset: ‸', 'authenticators.corp.sunset: must not be before deprecation (RFC 9745 §4)'],
    ],
    [
      'a sunset that has passed',
      { authenticators: '{corp: {type: apiKey, sunset: 2026-11-01, keys: []}}' },
      ['sunset: ‸', 'warning: authenticators.corp.sunset: has passed: every key of this authenticator is refused'],
    ],
    [
      'prefixes and headers that do not tell whose a key is',
      {
        authenticators:
          '{corp: {type: apiKey, keys: []}, more: {type: apiKey, prefix: sk_live_, keys: []}, jwt: {type: apiKey, prefix: eyJ, header: Authorization, keys: []}}',
        routes: route('authenticate: {anyOf: [corp, more, jwt]}'),
      },
      ['more: ‸{', 'authenticators.more: header "x-api-key" is that of authenticator "corp" already'],
      [
        'prefix: ‸sk_live_',
        'authenticators.more.prefix: prefix "sk_live_" cannot be told from that of authenticator "corp"',
      ],
      ['prefix: ‸eyJ', 'authenticators.jwt.prefix: looks like the start of every JWT'],
      ['header: ‸Auth', 'authenticators.jwt.header: "authorization" has a meaning of its own; take another header'],
    ],
    [
      'a key in the place of an identity',
      {
        authenticators: '{corp: {type: apiKey, header: x_user, keys: []}}',
        upstreams: '{superset: {url: "http://localhost:1", identity: {headers: {subject: x-user}}}}',
      },
      ['header: ‸', 'authenticators.corp.header: "x_user" is an identity header of an upstream'],
    ],
  ]);
});

t.test('routes: one answer each, reachable, with nothing that cannot be enforced', (t) =>
  hold(t, [
    [
      'names that are not there',
      { routes: '[{path: /api, upstream: supersett, authenticate: crop}]' },
      ['upstream: ‸', 'routes[0].upstream: unknown upstream "supersett" (did you mean "superset"?)'],
      ['authenticate: ‸', 'routes[0].authenticate: unknown authenticator "crop" (did you mean "corp"?)'],
    ],
    [
      'two answers, or none',
      { routes: '[{path: /a, authenticate: corp}, {path: /b, authenticate: corp, upstream: superset, respond: {}}]' },
      ['[‸{path: /a', 'routes[0]: needs either upstream or respond'],
      ['‸{path: /b', 'routes[1]: needs either upstream or respond'],
    ],
    [
      'bodies that contradict',
      {
        routes:
          '[{path: /a, authenticate: none, respond: {json: 1, text: x}}, {path: /b, authenticate: none, respond: {status: 204, text: x}}]',
      },
      ['‸{json', 'routes[0].respond: has either json or text'],
      ['‸{status', 'routes[1].respond: an answer with status 204 has no body'],
    ],
    [
      'one name for two',
      {
        routes:
          '[{path: /a, name: x, upstream: superset, authenticate: corp}, {path: /b, name: x, upstream: superset, authenticate: corp}]',
      },
      ['/b, name: ‸', 'routes[1].name: "x" is the name of routes[0] already'],
    ],
    [
      'one path for two, without names',
      {
        routes:
          '[{path: /a, methods: [GET], upstream: superset, authenticate: corp}, {path: /a, methods: [POST], upstream: superset, authenticate: corp}]',
      },
      [', ‸{path: /a, methods: [POST]', 'routes[1]: needs a name, since routes[0] is named "/a" too'],
    ],
    [
      'paths that no request can have, or that are taken',
      {
        routes:
          '[{path: /a/../b, upstream: superset, authenticate: corp}, {path: /a//b, upstream: superset, authenticate: corp}, {path: /a%2Fb, upstream: superset, authenticate: corp}, {path: /.well-known/jwks.json, upstream: superset, authenticate: corp}, {path: /.well-known/oauth-protected-resource/mcp, upstream: superset, authenticate: corp}]',
      },
      ...['/a/../b', '/a//b', '/a%2Fb'].map(
        (path, index) =>
          [
            `path: ‸${path}`,
            `routes[${index}].path: can never match: such paths are refused (dot segments, empty segments, encoded separators)`,
          ] as const,
      ),
      ['path: ‸/.well-known/jwks', 'routes[3].path: is served by the gateway itself'],
      ['path: ‸/.well-known/oauth', 'routes[4].path: is served by the gateway itself'],
    ],
    [
      'globs in the middle, and methods that are none',
      { routes: '[{path: /a/*/b, methods: [get, CONNECT], upstream: superset, authenticate: corp}]' },
      ['path: ‸/a/*', 'routes[0].path: expected a path such as /mcp or /api/*'],
      ['[‸get', 'routes[0].methods[0]: expected an upper-case HTTP method'],
      ['‸CONNECT', 'routes[0].methods[1]: CONNECT and TRACE are never served'],
    ],
    [
      'a route behind a wider one',
      {
        routes:
          '[{path: /api/*, name: all, upstream: superset, authenticate: corp}, {path: /api/x, upstream: superset, authenticate: corp}, {path: /apix, upstream: superset, authenticate: corp}]',
      },
      ['path: ‸/api/x', 'warning: routes[1].path: can never match: routes[0] "all" comes first and covers it'],
    ],
    [
      'a route behind one with the same methods; another has one more',
      {
        routes:
          '[{path: /a, name: one, methods: [GET], upstream: superset, authenticate: corp}, {path: /a, name: two, methods: [HEAD], upstream: superset, authenticate: corp}, {path: /a, name: three, methods: [GET, PUT], upstream: superset, authenticate: corp}]',
      },
      [
        ', {path: ‸/a, name: two',
        'warning: routes[1].path: can never match: routes[0] "one" comes first and covers it',
      ],
    ],
    [
      'scopes beside rules, and beside nobody who could have them',
      {
        routes:
          '[{path: /a, upstream: superset, authenticate: corp, scopes: [a], rules: []}, {path: /b, upstream: superset, authenticate: none, scopes: [b], certificateFor: [x]}]',
      },
      ['scopes: ‸[a]', 'routes[0].scopes: is short for one rule; it cannot stand beside rules'],
      ['scopes: ‸[b]', 'routes[1].scopes: cannot be enforced with authenticate: none'],
      ['certificateFor: ‸', 'routes[1].certificateFor: cannot be enforced with authenticate: none'],
    ],
    [
      'MCP without callers, with rules elsewhere, with methods it does not have',
      {
        routes:
          '[{path: /a, upstream: superset, authenticate: none, mcp: {rules: [{allow: {tools: [x]}}]}}, {path: /b, upstream: superset, authenticate: corp, scopes: [a], rules: [], methods: [PUT], mcp: {rules: [{allow: {tools: [x]}}]}}, {path: /c, authenticate: corp, respond: {}, mcp: {rules: [{allow: {tools: [x]}}]}}]',
      },
      ['none, mcp: ‸', 'routes[0].mcp: needs callers that are authenticated'],
      ['scopes: ‸[a]', 'routes[1].scopes: belongs into mcp.rules here'],
      ['rules: ‸[]', 'routes[1].rules: belong into mcp.rules here'],
      ['methods: ‸', 'routes[1].methods: must hold POST, in which MCP messages come'],
      ['methods: [‸', 'routes[1].methods[0]: is no method of MCP, which has POST, GET and DELETE'],
      ['{}, mcp: ‸', 'routes[2].mcp: has no meaning beside respond'],
    ],
    [
      'what MCP routes do not forward, and what they do not do yet',
      {
        routes: route(
          'authenticate: corp, mcp: {forwardHeaders: [Cookie, x-forwarded-user, x-remote-user, x-trace], lists: usable}',
        ),
      },
      ['[‸Cookie', 'routes[0].mcp.forwardHeaders[0]: "cookie" is never taken over from a client'],
      ['‸x-forwarded-user', 'routes[0].mcp.forwardHeaders[1]: "x-forwarded-user" is never taken over from a client'],
      ['‸x-remote-user', 'routes[0].mcp.forwardHeaders[2]: "x-remote-user" is never taken over from a client'],
    ],
    [
      'what cannot stand in place of a path',
      {
        routes:
          '[{path: /a, upstreamPath: /b/*, upstream: superset, authenticate: corp}, {path: /b/*, upstreamPath: /c, authenticate: none, respond: {}}, {path: /d/*, upstreamPath: /e/../f, upstream: superset, authenticate: corp}]',
      },
      ['upstreamPath: ‸/b', 'routes[0].upstreamPath: ends with /*, and the path of the route does not'],
      ['upstreamPath: ‸/c', 'routes[1].upstreamPath: needs an upstream'],
      [
        'upstreamPath: ‸/e',
        'routes[2].upstreamPath: expected a plain path (no dot segments, empty segments, encoded separators)',
      ],
    ],
    [
      'what path routes do not forward, and who has nothing to forward',
      {
        routes:
          '[{path: /a, upstream: superset, authenticate: corp, forwardHeaders: [Cookie, accept, x_forwarded_user, x-trace]}, {path: /b, upstream: superset, authenticate: corp, forwardHeaders: [x-trace], mcp: {rules: [{allow: {tools: [x]}}]}}, {path: /c, authenticate: none, respond: {}, forwardHeaders: [x-trace]}]',
      },
      ['[‸Cookie', 'routes[0].forwardHeaders[0]: "cookie" is never taken over from a client'],
      ['‸x_forwarded_user', 'routes[0].forwardHeaders[2]: "x_forwarded_user" is never taken over from a client'],
      ['forwardHeaders: ‸[x-trace], mcp', 'routes[1].forwardHeaders: belongs into mcp.forwardHeaders here'],
      ['forwardHeaders: ‸[x-trace]}]', 'routes[2].forwardHeaders: belongs to routes with an upstream'],
    ],
    [
      'the preset brings rules',
      { routes: route('authenticate: corp, mcp: {preset: superset, forwardHeaders: [x-trace]}') },
    ],
    [
      'or none of them, where they are not wanted',
      { routes: route('authenticate: corp, mcp: {preset: {name: superset, rules: false}}') },
      ['mcp: ‸', 'warning: routes[0].mcp: has no rules: every call of a tool, resource or prompt is denied'],
    ],
    [
      'no preset of that name, no key of that name',
      {
        routes:
          '[{path: /a, upstream: superset, authenticate: corp, mcp: {preset: supreset}}, {path: /b, upstream: superset, authenticate: corp, mcp: {preset: {name: superset, rule: false}}}]',
      },
      ['preset: ‸supreset', 'routes[0].mcp.preset: expected "superset" (did you mean "superset"?)'],
      ['{name: superset, ‸rule', 'routes[1].mcp.preset.rule: unknown key "rule" (did you mean "rules"?)'],
    ],
    [
      'what the server of a preset believes',
      {
        routes: route(
          'authenticate: corp, mcp: {preset: superset, forwardHeaders: [X-Superset-Dashboard-Scope, x_superset.dashboard_scope]}',
        ),
      },
      [
        '[‸X-Superset',
        'routes[0].mcp.forwardHeaders[0]: "x-superset-dashboard-scope" is never taken over from a client',
      ],
      [
        '‸x_superset',
        'routes[0].mcp.forwardHeaders[1]: "x_superset.dashboard_scope" is never taken over from a client',
      ],
    ],
    [
      'and without the preset it is a header like any other',
      {
        routes: route(
          'authenticate: corp, mcp: {forwardHeaders: [x-superset-dashboard-scope], rules: [{allow: {tools: [a]}}]}',
        ),
      },
    ],
    [
      'rules before those of a preset shadow them without a word, but may not take their names',
      {
        routes: route(
          'authenticate: corp, mcp: {preset: superset, rules: [{name: superset:sql, allow: {tools: [execute_sql]}}, {name: mine, allow: {tools: ["*"]}}]}',
        ),
      },
      ['name: ‸superset:sql', 'routes[0].mcp.rules[0].name: "superset:sql" is the name of a rule of the preset'],
    ],
    [
      'a rule that shadows the preset',
      { routes: route('authenticate: corp, mcp: {preset: superset, rules: [{allow: {tools: ["*"]}}]}') },
      [
        'allow: ‸{tools',
        'warning: routes[0].mcp.rules[0].allow: opens get_instance_info, get_schema, list_dashboards and 20 more to every token that "corp" accepts, where the preset demands dashboards:read, exports:create, dashboards:write, queries:read, queries:execute; write require: {scopes: […]}',
      ],
    ],
    [
      'an allow of what is looked through',
      {
        routes: route(
          'authenticate: corp, mcp: {preset: superset, metaTools: {run: {name: /a, arguments: /b}, find: {results: ""}}, rules: [{deny: {tools: [call_tool]}}, {allow: {tools: [find, run, call_tool]}}]}',
        ),
      },
      [
        'find, ‸run',
        'warning: routes[0].mcp.rules[1].allow.tools[1]: can never match: "run" is looked through; name the tools that it may call',
      ],
      [
        'run, ‸call_tool',
        'warning: routes[0].mcp.rules[1].allow.tools[2]: can never match: "call_tool" is looked through; name the tools that it may call',
      ],
    ],
    [
      'globs for names that MCP does not have',
      {
        routes: route(
          'authenticate: corp, mcp: {rules: [{deny: {tools: ["tool *"]}}, {allow: {tools: ["ns:*", "ns:list", "a_*"], prompts: ["\\u00e9*"]}}]}',
        ),
      },
      [
        '‸"ns:*"',
        'warning: routes[0].mcp.rules[1].allow.tools[0]: can never match: "ns:*" has characters that MCP does not have in names; write such names out',
      ],
      [
        '‸"\\u00e9*"',
        'warning: routes[0].mcp.rules[1].allow.prompts[0]: can never match: "é*" has characters that MCP does not have in names; write such names out',
      ],
    ],
    [
      'meta-tools whose places are wrong',
      {
        routes: route(
          'authenticate: corp, mcp: {preset: superset, metaTools: {a: {name: /x, arguments: /x/y}, b: {name: x, arguments: /y}, c: {name: "", arguments: /y}, d: {name: /x}, e: {results: x}, f: {results: /x, name: /y}}}',
        ),
      },
      ['{a: ‸', 'routes[0].mcp.metaTools.a: name and arguments must be in different places'],
      ['{name: ‸x,', 'routes[0].mcp.metaTools.b.name: expected a JSON pointer such as /request/limit'],
      ['{name: ‸"",', 'routes[0].mcp.metaTools.c.name: expected a JSON pointer such as /request/limit'],
      ['d: ‸', 'routes[0].mcp.metaTools.d.arguments: is required'],
      ['results: ‸x}', 'routes[0].mcp.metaTools.e.results: expected a JSON pointer such as /request/limit'],
      ['/x, ‸name', 'routes[0].mcp.metaTools.f.name: unknown key "name"'],
    ],
    [
      'MCP without rules',
      { routes: route('authenticate: corp, mcp: {lists: obtainable}') },
      ['mcp: ‸', 'warning: routes[0].mcp: has no rules: every call of a tool, resource or prompt is denied'],
    ],
    [
      'lists of another kind',
      { routes: route('authenticate: corp, mcp: {lists: all}') },
      ['lists: ‸', 'routes[0].mcp.lists: expected one of "usable", "obtainable"'],
    ],
  ]),
);

t.test('authenticate: alternatives that exist, can be met and can be told apart', (t) => {
  const advice = 'use optional, certificateFor or a rule with authenticatedBy';
  const on = (form: string): Parts => ({ authenticators: three, routes: route(`authenticate: ${form}, scopes: []`) });
  return hold(t, [
    ['any of several', on('{anyOf: [corp, legacy, partner]}')],
    [
      'neither form',
      on('{optional: [corp, legacy, partner]}'),
      ['authenticate: ‸', 'routes[0].authenticate: needs either anyOf or allOf'],
    ],
    [
      'both forms',
      on('{anyOf: [corp, partner], allOf: [legacy]}'),
      ['authenticate: ‸', 'routes[0].authenticate: needs either anyOf or allOf'],
    ],
    [
      'one twice',
      on('{anyOf: [corp, legacy, partner, corp]}'),
      ['partner, ‸corp]', 'routes[0].authenticate.anyOf[3]: is the same as anyOf[0]'],
    ],
    [
      'two tokens in one request',
      on('{anyOf: [{allOf: [corp, partner]}, {allOf: [legacy, corp]}]}'),
      ['[‸{allOf: [corp', 'routes[0].authenticate.anyOf[0]: can never be met: a request carries one token or key'],
      ['‸{allOf: [legacy', 'routes[0].authenticate.anyOf[1]: can never be met: a request carries one token or key'],
    ],
    [
      'tokens that nothing could bind',
      {
        authenticators: '{corp: {type: jwt, issuer: https://a.example, dpop: "off"}}',
        routes: '[{path: /api, upstream: superset, authenticate: corp, senderConstraint: required}]',
      },
      [
        'authenticate: ‸corp',
        'routes[0].authenticate: can never be met with senderConstraint: required: "corp" has dpop: off, and no client certificates are asked for',
      ],
    ],
    [
      'keys where senders must be bound',
      {
        authenticators: '{corp: {type: jwt, issuer: https://a.example}, legacy: {type: apiKey, keys: []}}',
        routes: '[{path: /api, upstream: superset, authenticate: {anyOf: [corp, legacy]}, senderConstraint: required}]',
      },
      [
        ', ‸legacy]',
        'routes[0].authenticate.anyOf[1]: can never be met with senderConstraint: required: "legacy" has API keys, which are bound to nobody',
      ],
    ],
    [
      'a certificate where none is asked for',
      {
        authenticators:
          '{corp: {type: jwt, issuer: https://a.example}, cert: {type: mtls, allow: [{commonName: a, clientId: a}]}}',
        routes:
          '[{path: /api, upstream: superset, authenticate: {anyOf: [corp], optional: [cert, cert, corp, crt]}, certificateFor: [a], scopes: []}]',
      },
      [
        'optional: [‸cert',
        'routes[0].authenticate.optional[0]: "cert" verifies client certificates, but server.tls.clientCertificates is off',
      ],
      [
        'cert, ‸cert',
        'routes[0].authenticate.optional[1]: "cert" verifies client certificates, but server.tls.clientCertificates is off',
      ],
      ['cert, ‸cert', 'routes[0].authenticate.optional[1]: names an authenticator twice'],
      ['‸corp, crt', 'routes[0].authenticate.optional[2]: "corp" is an alternative already'],
      ['‸crt', 'routes[0].authenticate.optional[3]: unknown authenticator "crt" (did you mean "cert"?)'],
      ['certificateFor: ‸', 'routes[0].certificateFor: cannot be met: server.tls.clientCertificates is off'],
    ],
    [
      'an alternative that contains another, in either order',
      {
        authenticators: three.replace('{corp', '{cert: {type: mtls, allow: [{commonName: a, clientId: a}]}, corp'),
        routes: route(
          'authenticate: {anyOf: [corp, {allOf: [corp, cert]}, {allOf: [legacy, cert]}, legacy, partner]}, scopes: []',
        ),
      },
      ['‸{allOf: [corp', `routes[0].authenticate.anyOf[1]: contains anyOf[0]; ${advice}`],
      [
        '[corp, ‸cert',
        'routes[0].authenticate.anyOf[1].allOf[1]: "cert" verifies client certificates, but server.tls.clientCertificates is off',
      ],
      [
        '[legacy, ‸cert',
        'routes[0].authenticate.anyOf[2].allOf[1]: "cert" verifies client certificates, but server.tls.clientCertificates is off',
      ],
      [']}, ‸legacy', `routes[0].authenticate.anyOf[3]: is contained in anyOf[2]; ${advice}`],
    ],
    [
      'an identity that is none, or two',
      {
        authenticators:
          '{corp: {type: mtls, allow: [{clientId: a}, {commonName: x, uri: "spiffe://x", clientId: a}, {dnsName: "*.example", clientId: a}, {uri: x, clientId: a}, {fingerprint: x, clientId: a}]}}',
        routes: route('authenticate: corp, scopes: []'),
      },
      ['[‸{clientId', 'authenticators.corp.allow[0]: needs exactly one of commonName, dnsName, uri, fingerprint'],
      ['‸{commonName: x', 'authenticators.corp.allow[1]: needs exactly one of commonName, dnsName, uri, fingerprint'],
      ['dnsName: ‸', 'authenticators.corp.allow[2].dnsName: is compared as a whole; * stands for nothing here'],
      ['{uri: ‸x', 'authenticators.corp.allow[3].uri: expected a URI'],
      ['fingerprint: ‸', 'authenticators.corp.allow[4].fingerprint: expected sha256: and 64 hex digits'],
      [
        'authenticate: ‸',
        'routes[0].authenticate: "corp" verifies client certificates, but server.tls.clientCertificates is off',
      ],
    ],
  ]);
});

t.test('rules: one effect, selectors that can match, demands that can be met', (t) =>
  hold(t, [
    [
      'both effects, none, and a deny that demands',
      {
        routes: rules(
          '{allow: {}, deny: {methods: [GET]}}, {require: {}}, {deny: {methods: [PUT]}, require: {scopes: [a]}}, {deny: {}}',
        ),
      },
      ['[‸{allow: {}', 'routes[0].rules[0]: needs either allow or deny'],
      ['‸{require: {}}', 'routes[0].rules[1]: needs either allow or deny'],
      ['require: ‸{scopes', 'routes[0].rules[2].require: belongs to allow; a deny demands nothing'],
      ['deny: ‸{}', 'routes[0].rules[3].deny: needs a selector; what no rule allows is denied anyway'],
    ],
    [
      'an MCP rule for whatever there is',
      {
        routes: mcp(
          '{allow: {clients: [admin]}}, {deny: {networks: [10.0.0.0/8]}}, {allow: {tools: [a], methods: [ping]}}',
        ),
      },
      ['allow: ‸{clients', 'routes[0].mcp.rules[0].allow: needs a target: tools, resources, prompts or methods'],
      [
        'allow: ‸{tools',
        'routes[0].mcp.rules[2].allow: methods: "ping" is no method of the tools, resources or prompts beside it; give it a rule of its own',
      ],
    ],
    [
      'keys of the other kind of rule',
      { routes: rules('{allow: {tools: [a]}}, {allow: {method: [GET]}}') },
      ['‸tools', 'routes[0].rules[0].allow.tools: unknown key "tools"'],
      ['‸method', 'routes[0].rules[1].allow.method: unknown key "method" (did you mean "methods"?)'],
    ],
    [
      'paths and methods outside the route',
      {
        routes:
          '[{path: /api/*, methods: [GET], upstream: superset, authenticate: corp, rules: [{allow: {paths: [/api/x/*, /other, /api], methods: [HEAD, POST]}}]}]',
      },
      ['‸/other', 'routes[0].rules[0].allow.paths[1]: can never match: it is not within the route\'s path "/api/*"'],
      ['‸POST', "routes[0].rules[0].allow.methods[1]: can never match: it is not among the route's methods"],
    ],
    [
      'two rules of one name',
      { routes: rules('{name: a, allow: {methods: [GET]}}, {name: a, allow: {methods: [PUT]}}') },
      [', {name: ‸a', 'routes[0].rules[1].name: "a" is the name of rules[0] already'],
    ],
    [
      'a rule behind a wider one',
      {
        routes: mcp('{name: all, allow: {tools: ["get_*"]}}, {allow: {tools: [get_chart]}}, {allow: {tools: [list]}}'),
      },
      [
        '‸{allow: {tools: [get_chart]}}',
        'warning: routes[0].mcp.rules[1]: can never match: rules[0] "all" comes first and covers it',
      ],
    ],
    [
      'conditions that do not compile, in every place',
      { routes: mcp('{allow: {tools: [a], when: "args.x =="}, require: {when: "nobody == 1"}}') },
      ['[a], when: ‸', 'routes[0].mcp.rules[0].allow.when: Unexpected token: EOF at character 10'],
      ['{when: ‸', 'routes[0].mcp.rules[0].require.when: Unknown variable: nobody at character 1'],
    ],
    [
      'conditions on fields that may be absent',
      {
        routes: mcp(
          '{allow: {tools: [a], when: "args.x == 1"}}, {allow: {tools: [b], when: "has(args.x) && args.x == 1"}}',
        ),
      },
      [
        '[a], when: ‸',
        'warning: routes[0].mcp.rules[0].allow.when: args.x may be absent, and then the call is denied; guard it with has(args.x)',
      ],
    ],
    [
      'clients where several authenticators can name them',
      {
        authenticators: three,
        routes: route(
          'authenticate: {anyOf: [corp, legacy], optional: [partner]}, rules: [{allow: {clients: [ai, legcy/x, corp/y, partner/z, "https://c.example/id", "ai_*"]}}]',
        ),
      },
      [
        '[‸ai',
        'routes[0].rules[0].allow.clients[0]: several authenticators can name clients on this route; write which, such as "corp/ai"',
      ],
      [
        '‸legcy',
        'routes[0].rules[0].allow.clients[1]: several authenticators can name clients on this route; write which, such as "legacy/x"',
      ],
      [
        '‸"https://c.example/id"',
        'routes[0].rules[0].allow.clients[4]: several authenticators can name clients on this route; write which, such as "corp/https://c.example/id"',
      ],
      [
        '‸"ai_*"',
        'routes[0].rules[0].allow.clients[5]: several authenticators can name clients on this route; write which; and it is no glob: client ids are compared whole, so name each client',
      ],
    ],
    [
      'clients of an authenticator that the route does not name',
      {
        authenticators: three,
        routes:
          '[{path: /api, upstream: superset, authenticate: corp, rules: [{allow: {clients: [ai, legacy/x]}}]}, {path: /b, upstream: superset, authenticate: {anyOf: [legacy, partner]}}]',
      },
      [
        '‸legacy/x',
        'routes[0].rules[0].allow.clients[1]: can never match: authenticator "legacy" names no client on this route',
      ],
    ],
    [
      'claims that are not kept, authenticators that are not named',
      {
        authenticators: three,
        routes:
          '[{path: /api, upstream: superset, authenticate: corp, rules: [{allow: {claims: {tenant: [a], tennant: [a]}}, require: {authenticatedBy: [corp, legacy, lgacy]}}]}, {path: /b, upstream: superset, authenticate: {anyOf: [legacy, partner]}}]',
      },
      [
        'tennant: ‸',
        'routes[0].rules[0].allow.claims.tennant: no authenticator of this route has the claim "tennant" in its claims (did you mean "tenant"?)',
      ],
      [
        '[corp, ‸legacy',
        'routes[0].rules[0].require.authenticatedBy[1]: can never be met: routes[0].authenticate does not name "legacy"; add it to optional',
      ],
      [
        '‸lgacy',
        'routes[0].rules[0].require.authenticatedBy[2]: unknown authenticator "lgacy" (did you mean "legacy"?)',
      ],
    ],
    [
      'demands on nobody',
      {
        authenticators: '{}',
        routes: route(
          'authenticate: none, rules: [{allow: {methods: [GET], clients: [a], claims: {b: [c]}}, require: {scopes: [d], anyScope: [e], authenticatedBy: [f], senderConstrained: true}}], senderConstraint: required',
        ),
      },
      ['clients: ‸', 'routes[0].rules[0].allow.clients: cannot be enforced with authenticate: none'],
      ['claims: ‸', 'routes[0].rules[0].allow.claims: cannot be enforced with authenticate: none'],
      ['scopes: ‸', 'routes[0].rules[0].require.scopes: can never be met with authenticate: none'],
      ['anyScope: ‸', 'routes[0].rules[0].require.anyScope: can never be met with authenticate: none'],
      ['authenticatedBy: ‸', 'routes[0].rules[0].require.authenticatedBy: can never be met with authenticate: none'],
      [
        'senderConstrained: ‸',
        'routes[0].rules[0].require.senderConstrained: can never be met with authenticate: none',
      ],
      ['senderConstraint: ‸', 'routes[0].senderConstraint: cannot be enforced with authenticate: none'],
    ],
  ]),
);

t.test('audit: each place once, nothing overwritten, and a word where no record is required', (t) =>
  hold(t, [
    [
      'a file and the standard output twice',
      { audit: '{sinks: [{type: stdout}, {type: file, path: a}, {type: file, path: ./a}, {type: stdout}]}' },
      ['‸{type: file, path: ./a}', 'audit.sinks[2]: writes to the same place as sinks[1]'],
      [', ‸{type: stdout}', 'audit.sinks[3]: writes to the same place as sinks[0]'],
    ],
    [
      'records over a secret',
      {
        upstreams: '{superset: {url: "http://localhost:1", authorization: "${file:gateway.yaml}"}}',
        audit: '{sinks: [{type: file, path: gateway.yaml}]}',
      },
      ['authorization: ‸', 'upstreams.superset.authorization: expected printable ASCII'],
      ['path: ‸gateway.yaml', 'audit.sinks[0].path: is a file that this configuration reads; records would destroy it'],
    ],
    [
      'less to keep than one file holds',
      { audit: '{sinks: [{type: file, path: a, rotateAt: 1MiB, keepBytes: 1023KiB}]}' },
      ['keepBytes: ‸', 'audit.sinks[0].keepBytes: is less than rotateAt: the current file alone may be larger'],
    ],
    [
      'no sink that counts',
      { audit: '{sinks: [{type: stdout, required: false}]}' },
      ['sinks: ‸', 'warning: audit.sinks: no sink is required: requests go on while no record can be written'],
    ],
    [
      'a sink that never fails',
      { audit: '{sinks: [{type: stdout}], timeout: 0s}' },
      ['timeout: ‸', 'audit.timeout: expected a duration above zero'],
    ],
  ]),
);

t.test('audit: a receiver over TLS, a spool only where records may wait, and headers that are ours to give', (t) =>
  hold(t, [
    [
      'plain http beyond loopback',
      { audit: '{sinks: [{type: http, url: "http://siem.example.com/in"}]}' },
      ['http, url: ‸', 'audit.sinks[0].url: plain http is accepted on loopback only; use https, or insecure: true'],
    ],
    [
      'plain http that is meant',
      { audit: '{sinks: [{type: http, url: "http://siem.example.com/in", insecure: true}]}' },
      ['http, url: ‸', 'warning: audit.sinks[0].url: is plain http: records and the headers can be read on the way'],
    ],
    [
      'a spool of a required sink, which is small too',
      { audit: '{sinks: [{type: http, url: "https://siem.example.com", spool: {path: s, bytes: 1KiB}}]}' },
      [
        'spool: ‸',
        'audit.sinks[0].spool: stands with `required: false` only: a required record counts once the receiver has it',
      ],
      ['spool: ‸', 'audit.sinks[0].spool: holds too little: 64KiB is the least'],
    ],
    [
      'one spool for two receivers',
      {
        audit:
          '{sinks: [{type: stdout}, {type: http, url: "https://a.example.com", required: false, spool: {path: s, bytes: 1MiB}}, {type: http, url: "https://b.example.com", required: false, spool: {path: ./s, bytes: 1MiB}}]}',
      },
      ['‸{type: http, url: "https://b', 'audit.sinks[2]: writes to the same place as sinks[1]'],
    ],
    [
      'a header of the HTTP client',
      { audit: '{sinks: [{type: http, url: "https://siem.example.com", headers: {Content-Type: text/plain}}]}' },
      ['headers: ‸', 'audit.sinks[0].headers: "content-type" is set by the sink'],
    ],
    [
      'a header with a line break',
      { audit: '{sinks: [{type: http, url: "https://siem.example.com", headers: {a: "b\\nc: d"}}]}' },
      ['a: ‸', 'audit.sinks[0].headers.a: expected printable ASCII'],
    ],
    [
      'no such format',
      { audit: '{sinks: [{type: http, url: "https://siem.example.com", format: cef}]}' },
      ['format: ‸', 'audit.sinks[0].format: expected one of "json-lines", "hec", "ecs", "ocsf"'],
    ],
  ]),
);

t.test('audit.sign: a key that signs, and a state file that overwrites nothing and lies elsewhere', async (t) => {
  const yaml = (stateFile: string) =>
    fileOf({
      audit: `{sinks: [{type: file, path: log/audit.jsonl}], sign: {keyFile: a.pem, stateFile: ${stateFile}}}`,
    });
  const problems = async (stateFile: string, key: KeyObject) => {
    const files = { 'a.pem': key.export({ type: 'pkcs8', format: 'pem' }).toString() };
    return (await linesOf(t.testdir(), yaml(stateFile), { files })).map((line) =>
      line.replace(/gateway\.yaml:\S+ /, ''),
    );
  };
  const { privateKey } = generateKeyPairSync('ed25519');
  t.same(await problems('state/audit.head', privateKey), []);
  t.same(await problems('a.pem', privateKey), [
    'audit.sign.stateFile: is a file that this configuration reads; heads would destroy it',
  ]);
  t.same(await problems('log/audit.jsonl', privateKey), [
    'audit.sign.stateFile: is an audit file; heads would destroy it',
  ]);
  t.match(await problems('log/audit.head', privateKey), [
    /^warning: audit\.sign\.stateFile: lies beside an audit file/,
  ]);
  t.match(await problems('state/audit.head', generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey), [
    /^audit\.sign\.keyFile: holds neither an Ed25519 nor a P-256 key; make one with/,
  ]);
});

t.test('tracing goes over TLS, with headers that the exporter does not set itself', async (t) => {
  const otlp = (more: string) => ({ more: `tracing: {otlp: {endpoint: ${more}}}` });
  await hold(t, [
    ['loopback', otlp('"http://127.0.0.1:4318"')],
    ['plain HTTP where it is wanted', otlp('"http://collector:4318", insecure: true')],
    [
      'plain HTTP',
      otlp('"http://collector:4318"'),
      [
        'otlp: {endpoint: ‸',
        'tracing.otlp.endpoint: plain http is accepted on loopback only; use https, or insecure: true',
      ],
    ],
    [
      'a header of the exporter',
      otlp('"https://collector:4318", headers: {content-type: text/plain}'),
      ['content-type: ‸', 'tracing.otlp.headers.content-type: is set by the exporter'],
    ],
    [
      'a ratio above one',
      { more: 'tracing: {otlp: {endpoint: "https://collector:4318"}, sampleRatio: 1.5}' },
      ['sampleRatio: ‸', 'tracing.sampleRatio: expected at most 1'],
    ],
  ]);
});
