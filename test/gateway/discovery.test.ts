// Metadata documents of the gateway (RFC 9728, RFC 8414; MCP 2025-03-26 to 2026-07-28).
import { extractWWWAuthenticateParams } from '@modelcontextprotocol/sdk/client/auth.js';
import { checkResourceAllowed } from '@modelcontextprotocol/sdk/shared/auth-utils.js';
import t, { type Test } from 'tap';
import { type ClientAnswer, toolCall } from '../support/client.ts';
import type { Configuration } from '../support/configuration.ts';
import { createFakeIssuer, type FakeIssuer } from '../support/issuer.ts';
import { type Caller, startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';
import { startUpstream } from '../support/upstream.ts';

const upstream = await startUpstream();
const issuers = await Promise.all([createFakeIssuer(), createFakeIssuer({ path: '/tenant' })]);
const [corp, partner] = issuers;
const minute = 60_000;
let clock = Date.now();
t.teardown(async () => {
  await Promise.all(issuers.map((issuer) => issuer.close()));
  await upstream.close();
});

const rules = [
  { allow: { tools: ['a'] }, require: { scopes: ['dashboards:read', 'offline_access'] } },
  { allow: { tools: ['b'] }, require: { anyScope: ['queries:execute', 'queries:read'] } },
];
const mcp = (path: string, authenticate: string | Configuration, more: Configuration = {}) => ({
  path,
  authenticate,
  mcp: { rules, ...more },
});

const plain = [
  mcp('/mcp', { anyOf: ['partner', 'keys', 'corp'] }),
  { path: '/api/*', methods: ['GET'], scopes: ['dashboards:read'] },
  {
    name: 'api-writes',
    path: '/api/*',
    methods: ['POST'],
    resource: 'https://mcp.example.com/api',
    authenticate: 'partner',
    scopes: ['exports:create'],
  },
  { path: '/keyed', authenticate: 'keys' },
  { path: '/bare' },
  {
    path: '/.well-known/security.txt',
    authenticate: 'none',
    respond: { text: 'Contact: mailto:a@example.com' },
  },
  { name: 'everything', path: '/*', authenticate: 'none' },
];

async function begin(
  t: Test,
  routes: readonly Configuration[],
  more: { corp?: Configuration; server?: Configuration } = {},
) {
  const { corp: changed = {}, server = {} } = more;
  const scenario = await startScenario(
    t,
    {
      server,
      authenticators: {
        corp: changed,
        partner: { type: 'jwt', issuer: partner.issuer },
        keys: { keys: [] },
        opaque: {
          type: 'introspection',
          endpoint: 'http://127.0.0.1:9/introspect',
          issuer: 'https://opaque.example/',
          clientId: 'portcullis',
          clientSecret: 'secret',
        },
      },
      routes,
    },
    { upstream, issuer: corp, now: () => clock, inject: true },
  );
  return { ...scenario, client: scenario.anybody };
}

const resourceMetadata = '/.well-known/oauth-protected-resource';
const serverMetadata = '/.well-known/oauth-authorization-server';
const documentOf = (issuer: FakeIssuer) => ({ issuer: issuer.issuer, jwks_uri: issuer.jwksUri });

/** 404 with our own body, and nobody behind the gateway was asked. */
function assertNothing(t: Test, path: string, answer: ClientAnswer): void {
  t.equal(answer.status, 404, path);
  t.equal(JSON.parse(answer.text).code, 'not_found', path);
}

t.test('each resource has its document at its path, the one MCP endpoint also at the root', async (t) => {
  const { client } = await begin(t, plain);
  const before = upstream.requests.length;
  const endpoint = {
    resource: 'https://mcp.example.com/mcp',
    authorization_servers: [partner.issuer, corp.issuer],
    scopes_supported: ['dashboards:read', 'queries:execute'],
    bearer_methods_supported: ['header'],
    dpop_signing_alg_values_supported: ['ES256', 'EdDSA', 'Ed25519', 'PS256', 'RS256'],
  };
  const documents: [string, object][] = [
    ['/mcp', endpoint],
    ['/mcp/', { ...endpoint, resource: 'https://mcp.example.com/mcp/' }],
    ['', endpoint],
    [
      '/api',
      {
        resource: 'https://mcp.example.com/api',
        authorization_servers: [corp.issuer, partner.issuer],
        scopes_supported: ['dashboards:read', 'exports:create'],
        bearer_methods_supported: ['header'],
        dpop_signing_alg_values_supported: ['ES256', 'EdDSA', 'Ed25519', 'PS256', 'RS256'],
      },
    ],
    [
      '/bare',
      {
        resource: 'https://mcp.example.com/bare',
        authorization_servers: [corp.issuer],
        bearer_methods_supported: ['header'],
        dpop_signing_alg_values_supported: ['ES256', 'EdDSA', 'Ed25519', 'PS256', 'RS256'],
      },
    ],
  ];
  for (const [path, document] of documents) {
    const bytes = new Set<string>();
    for (const headers of [
      {},
      { host: 'evil.example' },
      { origin: 'https://evil.example', 'x-forwarded-host': 'evil.example', forwarded: 'host=evil.example' },
      { authorization: 'Bearer nonsense', 'mcp-protocol-version': '2025-03-26' },
    ]) {
      const answer = await client.send({ path: resourceMetadata + path, headers });
      t.equal(answer.status, 200, path);
      t.match(answer.headers, {
        'content-type': 'application/json',
        'access-control-allow-origin': '*',
        'cache-control': 'public, max-age=300',
      });
      t.equal(answer.headers['set-cookie'], undefined);
      t.strictSame(JSON.parse(answer.text), document, path);
      bytes.add(answer.text);
    }
    t.equal(bytes.size, 1, 'the same for everybody');
    const head = await client.send({ method: 'HEAD', path: resourceMetadata + path });
    t.equal(head.status, 200);
    t.equal(head.headers['content-length'], String(Buffer.byteLength([...bytes][0]!)));
    t.equal(head.text, '');
  }
  t.equal(upstream.requests.length, before);
});

t.test('OPTIONS says what there is, a preflight of any page is let pass, and other methods are 405', async (t) => {
  const { client, record } = await begin(t, plain);
  for (const path of [`${resourceMetadata}/mcp`, resourceMetadata, serverMetadata]) {
    const options = await client.send({ method: 'OPTIONS', path });
    t.equal(options.status, 204, path);
    t.equal(options.headers.allow, 'GET, HEAD, OPTIONS');
    t.equal(options.headers['content-length'], undefined);
    const preflight = await client.send({
      method: 'OPTIONS',
      path,
      headers: {
        origin: 'https://any.example',
        'access-control-request-method': 'GET',
        'access-control-request-headers': 'mcp-protocol-version',
      },
    });
    t.equal(preflight.status, 204, path);
    t.equal(preflight.headers['access-control-allow-origin'], '*');
    t.match(preflight.headers['access-control-allow-headers'], /\bMCP-Protocol-Version\b/);
    t.match(preflight.headers['access-control-allow-methods'], /\bGET\b/);
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
      const answer = await client.send({ method, path });
      t.equal(answer.status, 405, `${method} ${path}`);
      t.equal(answer.headers.allow, 'GET, HEAD, OPTIONS');
      t.match(await record(({ id }) => id === answer.id), {
        decision: 'deny',
        reason: 'method_not_allowed',
        status: 405,
        outcome: 'refused',
      });
    }
  }
});

t.test('whatever else is asked for below .well-known is 404, also where a route takes everything', async (t) => {
  const { client, record } = await begin(t, plain);
  const before = upstream.requests.length;
  const absent = [
    `${resourceMetadata}/keyed`,
    `${resourceMetadata}/health`,
    `${resourceMetadata}/mcp/more`,
    `${serverMetadata}/mcp`,
    '/.well-known/openid-configuration',
    '/.well-known/openid-configuration/mcp',
    '/.well-known/anything',
    '/.well-known',
    '/.well-known/',
  ];
  for (const path of absent) {
    const answer = await client.send({ path, headers: { authorization: `Bearer ${await corp.token()}` } });
    assertNothing(t, path, answer);
    t.match(await record(({ id }) => id === answer.id), { reason: 'not_found', route: undefined });
  }
  t.equal(upstream.requests.length, before);
  const own = await client.send({ path: '/.well-known/security.txt' });
  t.match([own.status, own.text], [200, /Contact/], 'a route may still name such a path');
  t.equal((await client.send({ path: '/well-known' })).status, 200);
  t.equal((await client.send({ path: '/.well-knownx' })).status, 200);
});

t.test(
  'an issuer whose tokens are introspected is named like any other; metadata is repeated of one with keys',
  async (t) => {
    const { client } = await begin(t, [mcp('/mcp', { anyOf: ['opaque', 'corp'] })]);
    const { text } = await client.send({ path: resourceMetadata });
    t.same(JSON.parse(text).authorization_servers, ['https://opaque.example/', corp.issuer]);
    t.strictSame(JSON.parse((await found(client)).text), documentOf(corp));
    const only = await begin(t, [mcp('/mcp', 'opaque')]);
    t.same(JSON.parse((await only.client.send({ path: resourceMetadata })).text).authorization_servers, [
      'https://opaque.example/',
    ]);
    assertNothing(t, serverMetadata, await only.client.send({ path: serverMetadata }));
  },
);

t.test('with several MCP endpoints the root names none of them', async (t) => {
  const { client } = await begin(t, [mcp('/a', 'corp'), mcp('/b', 'partner', { challengeScopes: ['queries:read'] })]);
  assertNothing(t, 'the root', await client.send({ path: resourceMetadata }));
  for (const [name, scopes] of [
    ['a', ['dashboards:read', 'queries:execute']],
    ['b', ['queries:read']],
  ] as const) {
    const { text } = await client.send({ path: `${resourceMetadata}/${name}` });
    t.match(JSON.parse(text), { resource: `https://mcp.example.com/${name}`, scopes_supported: scopes });
  }
  const only = await begin(t, [mcp('/a', 'corp'), mcp('/b', 'keys')]);
  const { text } = await only.client.send({ path: resourceMetadata });
  t.match(
    JSON.parse(text),
    { resource: 'https://mcp.example.com/a' },
    'an endpoint that takes no tokens does not count',
  );
});

t.test('the metadata of the first issuer is repeated for clients that know of nothing else', async (t) => {
  const { client, recordOf } = await begin(t, plain);
  const first = await found(client);
  t.strictSame(JSON.parse(first.text), documentOf(partner), 'as the issuer of the MCP endpoint publishes it');
  t.match(first.headers, { 'access-control-allow-origin': '*', 'cache-control': 'public, max-age=300' });
  const asked = partner.requests.metadata;
  for (const headers of [{ host: 'evil.example' }, { origin: 'https://evil.example' }]) {
    t.equal((await client.send({ path: serverMetadata, headers })).text, first.text);
  }
  t.equal(
    (await client.send({ method: 'HEAD', path: serverMetadata })).headers['content-length'],
    String(first.text.length),
  );
  t.equal(partner.requests.metadata, asked, 'the issuer is not asked when a client asks');
  t.match(await recordOf(first), {
    route: 'authorization-server-metadata',
    decision: 'allow',
    status: 200,
  });
});

t.test('it outlives an outage of the issuer as the keys do, and is 503 with a name when it is too old', async (t) => {
  const { client, recordOf } = await begin(t, [mcp('/mcp', 'corp')]);
  await found(client);
  corp.fault = 'down';
  t.teardown(() => {
    corp.fault = undefined;
  });
  clock += 23 * 60 * minute;
  t.equal((await client.send({ path: serverMetadata })).status, 200);
  clock += 2 * 60 * minute;
  const gone = await client.send({ path: serverMetadata, headers: { origin: 'https://any.example' } });
  t.equal(gone.status, 503);
  t.match(gone.headers, { 'retry-after': '10', 'cache-control': 'no-store', 'access-control-allow-origin': '*' });
  t.equal(JSON.parse(gone.text).code, 'idp_unavailable');
  t.match(await recordOf(gone), {
    route: 'authorization-server-metadata',
    reason: 'idp_unavailable',
    status: 503,
  });
  t.equal((await client.send({ path: resourceMetadata })).status, 200, 'what the gateway knows itself is there');
  corp.fault = undefined;
  clock += 10_000;
  await client.post(toolCall('a'), { headers: { authorization: `Bearer ${await corp.token({}, { now: clock })}` } });
  t.equal((await client.send({ path: serverMetadata })).status, 200, 'and again when the issuer is back');
});

t.test(
  'it is asked for where the keys have an address of their own, and hinders nothing where it is missing',
  async (t) => {
    const { client } = await begin(t, [mcp('/mcp', 'corp')], { corp: { jwksUri: corp.jwksUri } });
    t.strictSame(JSON.parse((await found(client)).text), documentOf(corp));
    corp.metadataForms = [];
    t.teardown(() => {
      corp.metadataForms = ['oauth', 'openid'];
    });
    const without = await begin(t, [mcp('/mcp', 'corp')], {
      corp: { jwksUri: corp.jwksUri, keySet: { refresh: '1m' } },
    });
    const headers = {
      authorization: `Bearer ${await corp.token({ scope: 'dashboards:read offline_access' }, { now: clock })}`,
    };
    t.equal((await without.client.post(toolCall('a'), { headers })).status, 200);
    t.equal((await without.client.send({ path: serverMetadata })).status, 503);
    t.equal((await without.readiness()).status, 200);
  },
);

t.test('it can be switched off, and its place then given to a route', async (t) => {
  const asked = corp.requests.metadata;
  const { client, reload } = await begin(t, [mcp('/mcp', 'corp')], {
    server: { authorizationServerMetadata: 'off' },
    corp: { jwksUri: corp.jwksUri },
  });
  assertNothing(t, serverMetadata, await client.send({ path: serverMetadata }));
  await reload({ routes: { [serverMetadata]: { authenticate: 'none', respond: { json: { issuer: 'mine' } } } } });
  t.same(JSON.parse((await client.send({ path: serverMetadata })).text), { issuer: 'mine' });
  t.equal(corp.requests.metadata, asked, 'and the issuer is not asked for it');
  await reload({
    server: { authorizationServerMetadata: undefined },
    authenticators: { corp: { jwksUri: undefined } },
    routes: [mcp('/mcp', 'keys')],
  });
  assertNothing(t, 'without an issuer', await client.send({ path: serverMetadata }));
});

/** Waits for what is fetched in the background. */
async function found(client: Caller): Promise<ClientAnswer> {
  await until(async () => (await client.send({ path: serverMetadata })).status === 200);
  return client.send({ path: serverMetadata });
}

t.test(
  'https://…/mcp/ typed for route /mcp, and the other way round: metadata and token are for what was typed',
  async (t) => {
    const routes = [mcp('/mcp', 'corp'), { ...mcp('/slashed/', 'corp'), name: 'slashed' }, { path: '/api/*' }];
    const scenario = await begin(t, routes);
    const { client, issuer } = scenario;
    for (const path of ['/mcp', '/mcp/', '/slashed', '/slashed/', '/api', '/api/']) {
      const typed = `https://mcp.example.com${path}`;
      const send = (headers = {}) =>
        path.startsWith('/api') ? client.send({ path, headers }) : client.post(toolCall('a'), { path, headers });
      const refused = await send();
      t.equal(refused.status, 401, path);
      const challenge = { 'www-authenticate': refused.headers['www-authenticate']! };
      const { resourceMetadataUrl } = extractWWWAuthenticateParams(
        new Response(null, { status: 401, headers: challenge }),
      );
      t.equal(resourceMetadataUrl?.href, `https://mcp.example.com${resourceMetadata}${path}`);
      const { resource } = JSON.parse((await client.send({ path: resourceMetadata + path })).text);
      t.equal(resource, typed, 'RFC 9728 §3.3: identical');
      // The SDK looks for the document without the slash where there is no challenge.
      const found = await client.send({ path: resourceMetadata + path.replace(/\/$/, '') });
      const { resource: configuredResource } = JSON.parse(found.text);
      t.ok(checkResourceAllowed({ requestedResource: typed, configuredResource }));
      const canonical = path.startsWith('/slashed') ? 'https://mcp.example.com/slashed/' : typed.replace(/\/$/, '');
      for (const aud of [resource, canonical]) {
        const token = await issuer.token({ aud, scope: 'dashboards:read offline_access' }, { now: clock });
        t.equal((await send({ authorization: `Bearer ${token}` })).status, 200, `${aud} at ${path}`);
      }
    }
    const before = upstream.requests.length;
    for (const aud of [
      'https://mcp.example.com/mcp/',
      'https://mcp.example.com/mcp//',
      'https://mcp.example.com/mcpx/',
      'https://mcp.example.com/',
    ]) {
      const token = await issuer.token({ aud, scope: 'dashboards:read offline_access' }, { now: clock });
      const answer = await client.post(toolCall('a'), { headers: { authorization: `Bearer ${token}` } });
      t.equal(answer.status, 401, aud);
      t.match(await scenario.recordOf(answer), { outcome: 'refused', reason: 'invalid_token' });
    }
    t.equal(upstream.requests.length, before);
  },
);
