// Identity headers for the upstream, forgeries of them, and the life of API keys.
import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { createTestCertificates, fingerprintOf } from '../support/certificates.ts';
import type { ClientAnswer, TestClient } from '../support/client.ts';
import { apiKey, type Configuration, keyEntry } from '../support/configuration.ts';
import { startScenario } from '../support/scenario.ts';
import { type RecordedRequest, startUpstream } from '../support/upstream.ts';

const upstream = await startUpstream();
t.teardown(upstream.close);
const newKey = () => `sk_${randomBytes(32).toString('base64url')}`;
const certificates = await createTestCertificates();
const identity = await startScenario(
  t,
  {
    authenticators: {
      corp: { claims: { tenant: 'org_id' } },
      workloads: {
        allow: [
          { commonName: 'client-ai-agent-1', clientId: 'ai_agent_prod', scopes: ['dashboards:read'] },
          { commonName: 'client-reporting-1', clientId: 'reporting_tool' },
        ],
      },
      keys: { keys: [keyEntry('k1', apiKey, { scopes: ['dashboards:read', 'exports:create'] })] },
    },
    upstreams: {
      renamed: {
        url: upstream.url,
        identity: { headers: { subject: 'x-superset-user', authMethod: 'x-how' } },
        authorization: '${env:UPSTREAM_BEARER}',
      },
      untold: { url: upstream.url, identity: { headers: false } },
    },
    routes: [
      {
        path: '/api',
        authenticate: { anyOf: ['corp', 'workloads', 'keys'] },
        forwardHeaders: ['x-mine', 'x-other'],
      },
      { path: '/renamed', upstream: 'renamed' },
      { path: '/untold', upstream: 'untold' },
      { path: '/open', authenticate: 'none' },
      { path: '/mcp', mcp: { forwardHeaders: ['x-trace'], rules: [] } },
    ],
  },
  { upstream, tls: certificates, env: { UPSTREAM_BEARER: 'Bearer fixed' } },
);
const { issuer } = identity;

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const token = await identity.bearer({ jti: 'token-1', org_id: 'acme' });
const byKey = { 'x-api-key': apiKey };

/** All headers that the upstream got, by lower-case name; a second one of a name would show as an array of two. */
function headersOf({ rawHeaders }: RecordedRequest): Record<string, string | string[]> {
  const all: Record<string, string | string[]> = {};
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!.toLowerCase();
    const value = rawHeaders[index + 1]!;
    all[name] = all[name] === undefined ? value : [all[name], value].flat();
  }
  return all;
}

/** What the gateway adds for every caller. */
const always = (answer: ClientAnswer) => ({
  host: new URL(upstream.url).host,
  connection: 'keep-alive',
  'x-request-id': answer.id,
  'x-forwarded-for': '127.0.0.1',
  'x-forwarded-proto': 'https',
  'x-forwarded-host': 'mcp.example.com',
});

interface Kind {
  readonly certificate?: (typeof certificates)['agent'];
  readonly headers: Readonly<Record<string, string>>;
  readonly told: Readonly<Record<string, string>>;
  readonly principal: object;
}

const oauth = {
  'x-forwarded-user': 'ai-agent',
  'x-forwarded-client-id': 'ai_agent_prod',
  'x-forwarded-scopes': 'dashboards:read queries:execute',
  'x-forwarded-auth-method': 'oauth',
  'x-forwarded-issuer': issuer.issuer,
  'x-forwarded-tenant': 'acme',
};
const keyed = {
  'x-forwarded-user': 'reporting_tool',
  'x-forwarded-client-id': 'reporting_tool',
  'x-forwarded-scopes': 'dashboards:read exports:create',
  'x-forwarded-auth-method': 'api-key',
  'x-forwarded-issuer': 'keys',
};
const kinds: Readonly<Record<string, Kind>> = {
  oauth: {
    headers: token,
    told: oauth,
    principal: { kind: 'oauth', issuer: issuer.issuer, subject: 'ai-agent', credentialId: 'token-1', tenant: 'acme' },
  },
  'api-key': { headers: byKey, told: keyed, principal: { kind: 'api-key', issuer: 'keys', credentialId: 'k1' } },
  'an api-key as Bearer': {
    headers: bearer(apiKey),
    told: keyed,
    principal: { kind: 'api-key', issuer: 'keys', credentialId: 'k1' },
  },
  mtls: {
    certificate: certificates.agent,
    headers: {},
    told: {
      'x-forwarded-user': 'client-ai-agent-1',
      'x-forwarded-client-id': 'ai_agent_prod',
      'x-forwarded-scopes': 'dashboards:read',
      'x-forwarded-auth-method': 'mtls',
      'x-forwarded-issuer': 'workloads',
    },
    principal: { kind: 'mtls', issuer: 'workloads', credentialId: fingerprintOf(certificates.agent) },
  },
  'mtls+oauth': {
    certificate: certificates.agent,
    headers: token,
    told: { ...oauth, 'x-forwarded-auth-method': 'mtls+oauth', 'x-forwarded-scopes': 'dashboards:read' },
    principal: { kind: 'oauth', subject: 'ai-agent' },
  },
  'mtls+api-key': {
    certificate: certificates.reporting,
    headers: byKey,
    told: { ...keyed, 'x-forwarded-auth-method': 'mtls+api-key' },
    principal: { kind: 'api-key', credentialId: 'k1' },
  },
};

for (const [name, { certificate, headers, told, principal }] of Object.entries(kinds)) {
  t.test(`${name}: the upstream is told exactly this`, async (t) => {
    const before = upstream.requests.length;
    const answer = await identity.connect({ certificate }).send({ path: '/api', headers });
    t.equal(answer.status, 200);
    t.equal(upstream.requests.length, before + 1);
    t.same(headersOf(upstream.requests.at(-1)!), { ...always(answer), ...told });
    t.match(await identity.recordOf(answer), { principal });
  });
}

t.test('H1-H3: whatever a caller says of itself in these headers is dropped, in every spelling', async (t) => {
  const forged: Record<string, string | string[]> = {};
  const names = [
    ...Object.keys(always({ id: '' } as ClientAnswer)).filter((each) => each.startsWith('x-')),
    ...Object.keys(oauth),
    ...['forwarded', 'x-real-ip', 'remote-user', 'x-remote-user', 'x-auth-request-user', 'x-original-url'],
    ...['x-rewrite-url', 'client-cert', 'client-cert-chain', 'x-http-method-override', 'x-superset-user', 'x-how'],
    ...['x-forwarded-client-cert', 'x-forwarded-prefix', 'dpop', 'cookie', 'proxy-authorization'],
  ];
  for (const name of names) {
    for (const spelling of [name, name.toUpperCase(), name.replaceAll('-', '_'), name.replaceAll('-', '.')])
      if (spelling !== 'host') forged[spelling] = 'evil';
    forged[name.replace('-', '_')] = ['evil', 'evil'];
  }
  delete forged.COOKIE;
  const client = identity.anybody;
  const told: [string, Readonly<Record<string, string>>, Readonly<Record<string, string>>][] = [
    ['/api', token, oauth],
    ['/renamed', token, { 'x-superset-user': 'ai-agent', 'x-how': 'oauth', authorization: 'Bearer fixed' }],
    ['/untold', token, {}],
    ['/open', {}, {}],
  ];
  for (const [path, credentials, expected] of told) {
    const answer = await client.send({ path, headers: { ...forged, ...credentials } });
    t.equal(answer.status, 200, `${path}: ${answer.text}`);
    const { 'x-request-id': id, ...others } = always(answer);
    const withId = path === '/api' || path === '/open' ? { 'x-request-id': id } : {};
    t.same(headersOf(upstream.requests.at(-1)!), { ...others, ...withId, ...expected }, path);
  }
});

t.test('H2: Connection cannot take away what the gateway says', async (t) => {
  const connection = 'close, x-forwarded-user, X-Forwarded-Scopes, x_request_id, x-mine, authorization';
  const answer = await identity.anybody.send({
    path: '/api',
    headers: { ...token, connection, 'x-mine': 'a', 'x-other': 'b' },
  });
  t.equal(answer.status, 200);
  t.same(headersOf(upstream.requests.at(-1)!), { ...always(answer), ...oauth, 'x-other': 'b' });
});

t.test('MCP routes forward what MCP defines and what the route names, nothing else', async (t) => {
  const passed = {
    'mcp-protocol-version': '2025-11-25',
    traceparent: '00-1',
    accept: 'text/event-stream',
    'x-trace': 'y',
  };
  const answer = await identity.anybody.send({
    path: '/mcp',
    headers: { ...token, ...passed, 'x-other': 'b', 'accept-language': 'de', mcp_session_id: 'evil' },
  });
  t.equal(answer.status, 200);
  t.same(headersOf(upstream.requests.at(-1)!), {
    ...always(answer),
    ...oauth,
    ...passed,
    'accept-encoding': 'identity',
  });
});

t.test('a value that is not printable ASCII is percent-encoded, and absent facts leave no header', async (t) => {
  const client = identity.anybody;
  const send = async (claims: Configuration) => {
    const answer = await client.send({ path: '/api', headers: await identity.bearer(claims) });
    t.equal(answer.status, 200);
    return headersOf(upstream.requests.at(-1)!);
  };
  const named = await send({ sub: 'Zoë 100% \u{1f600}', org_id: 'a b', scope: 'dashboards:read' });
  t.equal(named['x-forwarded-user'], 'Zo%C3%AB 100%25 %F0%9F%98%80');
  t.equal(named['x-forwarded-tenant'], 'a b');
  const bare = await send({ client_id: undefined, scope: undefined });
  t.notOk('x-forwarded-client-id' in bare || 'x-forwarded-tenant' in bare);
  t.equal(bare['x-forwarded-scopes'], '');
  const before = upstream.requests.length;
  const broken = await identity.bearer({ sub: 'a\nx-forwarded-user: root' });
  t.equal((await client.send({ path: '/api', headers: broken })).status, 401);
  t.equal(upstream.requests.length, before);
});

// The life of keys, by a clock that the test moves.

const keys = { first: newKey(), second: newKey(), office: newKey() };
let clock = Date.parse('2026-07-01');
const legacyKey = (id: string, key: string, more: Configuration) =>
  keyEntry(id, key, { scopes: ['dashboards:read'], expires: undefined, ...more });
const life = await startScenario(
  t,
  {
    server: { trustedProxies: ['127.0.0.1/32'] },
    authenticators: {
      keys: undefined,
      legacy: {
        type: 'apiKey',
        deprecation: '2026-12-01',
        sunset: '2027-03-01',
        migrationGuide: 'https://wiki.example.com/mcp-oauth',
        keys: [
          legacyKey('first', keys.first, { notBefore: '2026-06-01' }),
          legacyKey('second', keys.second, { expires: '2027-01-15' }),
          legacyKey('office', keys.office, { networks: ['10.0.0.0/8', '2001:db8::/32'] }),
        ],
      },
    },
    routes: [
      { path: '/api', authenticate: { anyOf: ['corp', 'legacy'] }, scopes: ['dashboards:read'] },
      { path: '/more', authenticate: { anyOf: ['corp', 'legacy'] }, scopes: ['exports:create'] },
    ],
  },
  { issuer, now: () => clock },
);

const noAnnouncement = { deprecation: undefined, sunset: undefined, link: undefined };
const announcement = {
  deprecation: `@${Date.parse('2026-12-01') / 1000}`,
  sunset: 'Mon, 01 Mar 2027 00:00:00 GMT',
  link: '<https://wiki.example.com/mcp-oauth>; rel="deprecation"',
};
const announced = ({ headers: { deprecation, sunset, link } }: ClientAnswer) => ({ deprecation, sunset, link });

/** Sends it and asserts a refusal of the key: one body, a challenge, silence and a record. */
async function refusesKey(
  t: Test,
  name: string,
  client: TestClient,
  headers: Record<string, string>,
): Promise<ClientAnswer> {
  const before = life.upstream.requests.length;
  const answer = await client.send({ path: '/api', headers });
  t.equal(answer.status, 401, name);
  t.equal(JSON.parse(answer.text).code, 'invalid_api_key');
  t.match(
    answer.headers['www-authenticate'],
    /^Bearer error="invalid_token", scope="dashboards:read", resource_metadata=/,
  );
  t.same(announced(answer), noAnnouncement, `${name}: no word about dates`);
  t.equal(life.upstream.requests.length, before, `${name}: nothing forwarded`);
  const record = await life.record(({ id }) => id === answer.id);
  t.match(record, {
    decision: 'deny',
    reason: 'invalid_api_key',
    credentials: [{ kind: 'api-key', authenticator: 'legacy' }],
  });
  t.equal(record.principal?.clientId, name === 'unknown' ? undefined : 'reporting_tool', `${name}: whose key it was`);
  return answer;
}

t.test(
  'a key begins at notBefore, is announced to end from the deprecation on, and ends with the sunset',
  async (t) => {
    const client = life.connect();
    const first = { 'x-api-key': keys.first };
    const at = (instant: string) => {
      clock = Date.parse(instant);
    };
    const withoutId = ({ text, id }: ClientAnswer) => text.replace(id, '');
    const bodies = new Set<string>();
    at('2026-05-31T23:59:59.999Z');
    bodies.add(withoutId(await refusesKey(t, 'before notBefore', client, first)));
    for (const [instant, expected] of [
      ['2026-06-01T00:00:00Z', noAnnouncement],
      ['2026-11-30T23:59:59.999Z', noAnnouncement],
      ['2026-12-01T00:00:00Z', announcement],
      ['2027-02-28T23:59:59.999Z', announcement],
    ] as const) {
      at(instant);
      for (const headers of [first, bearer(keys.first)]) {
        const answer = await client.send({ path: '/api', headers });
        t.same([answer.status, announced(answer)], [200, expected], instant);
      }
    }
    const refused = await client.send({ path: '/more', headers: first });
    t.same(
      [refused.status, announced(refused)],
      [403, announcement],
      'also where the key is good and the scope is missing',
    );
    const migrated = await client.send({ path: '/api', headers: await life.bearer() });
    t.same([migrated.status, announced(migrated)], [200, noAnnouncement], 'a token hears nothing of it');

    at('2027-01-14T23:59:59.999Z');
    t.equal((await client.send({ path: '/api', headers: { 'x-api-key': keys.second } })).status, 200);
    at('2027-01-15T00:00:00Z');
    bodies.add(withoutId(await refusesKey(t, 'expired', client, { 'x-api-key': keys.second })));
    at('2027-03-01T00:00:00Z');
    bodies.add(withoutId(await refusesKey(t, 'after the sunset', client, first)));
    bodies.add(withoutId(await refusesKey(t, 'as Bearer', client, bearer(keys.first))));
    bodies.add(withoutId(await refusesKey(t, 'unknown', client, { 'x-api-key': newKey() })));
    t.equal(bodies.size, 1, 'and nobody learns which it was');
    const metrics = await life.metrics();
    for (const [reason, count] of [
      ['not_yet_valid', 1],
      ['expired', 1],
      ['sunset', 2],
      ['unknown', 1],
    ] as const)
      t.match(
        metrics,
        `portcullis_authentications_total{authenticator="legacy",result="refused",reason="${reason}"} ${count}\n`,
      );
    t.match(metrics, 'portcullis_api_key_requests_total{key="first"} 9\n');
    t.match(metrics, 'portcullis_api_key_requests_total{key="second"} 1\n');
  },
);

t.test('a key that belongs to networks: forwarded addresses count only from a trusted proxy', async (t) => {
  clock = Date.parse('2026-07-01');
  const proxy = life.connect();
  const stranger = life.connect({ localAddress: '127.0.0.2' });
  const office = { 'x-api-key': keys.office };
  const within: [Record<string, string>, string][] = [
    [{ 'x-forwarded-for': '10.1.2.3' }, '10.1.2.3'],
    [{ 'x-forwarded-for': '203.0.113.9, 10.1.2.3' }, '10.1.2.3'],
    [{ 'x-forwarded-for': '10.1.2.3, 127.0.0.1' }, '10.1.2.3'],
    [{ 'x-forwarded-for': '10.1.2.3:4711' }, '10.1.2.3'],
    [{ 'x-forwarded-for': '::ffff:10.1.2.3' }, '10.1.2.3'],
    [{ 'x-forwarded-for': '2001:db8::7' }, '2001:db8::7'],
    [{ forwarded: 'for=10.1.2.3;proto=https' }, '10.1.2.3'],
    [{ forwarded: 'for=203.0.113.9, for="[2001:db8::7]:4711"' }, '2001:db8::7'],
  ];
  for (const [headers, address] of within) {
    const answer = await proxy.send({ path: '/api', headers: { ...office, ...headers } });
    t.equal(answer.status, 200, JSON.stringify(headers));
    t.same(life.upstream.requests.at(-1)?.header('x-forwarded-for'), [address], 'and only that is passed on');
    t.same(life.upstream.requests.at(-1)?.header('forwarded'), []);
    t.equal((await life.record(({ id }) => id === answer.id)).client?.address, address);
  }
  const outside: [TestClient, Record<string, string>, string][] = [
    [proxy, {}, '127.0.0.1'],
    [proxy, { 'x-forwarded-for': '203.0.113.9' }, '203.0.113.9'],
    [proxy, { 'x-forwarded-for': '10.1.2.3, 203.0.113.9' }, '203.0.113.9'],
    [proxy, { 'x-forwarded-for': '10.1.2.3, unknown' }, 'unknown'],
    [proxy, { 'x-forwarded-for': '' }, 'unknown'],
    [proxy, { 'x-forwarded-for': '010.1.2.3' }, 'unknown'],
    [proxy, { 'x-real-ip': '10.1.2.3' }, '127.0.0.1'],
    [proxy, { forwarded: 'by=10.1.2.3' }, 'unknown'],
    [stranger, { 'x-forwarded-for': '10.1.2.3' }, '127.0.0.2'],
    [stranger, { forwarded: 'for=10.1.2.3' }, '127.0.0.2'],
  ];
  for (const [client, headers, address] of outside) {
    const answer = await refusesKey(t, JSON.stringify(headers), client, { ...office, ...headers });
    t.equal((await life.record(({ id }) => id === answer.id)).client?.address, address);
  }
  const lines = (...addresses: string[]) => ({ ...office, 'x-forwarded-for': addresses });
  t.equal(
    (await proxy.send({ path: '/api', headers: lines('203.0.113.9', '10.1.2.4') })).status,
    200,
    'two lines are one list',
  );
  const last = await proxy.send({ path: '/api', headers: lines('10.1.2.3', '203.0.113.9') });
  t.same([last.status, JSON.parse(last.text).code], [401, 'invalid_api_key'], 'whose last address counts');
  const elsewhere = await stranger.send({
    path: '/api',
    headers: { 'x-api-key': keys.first, 'x-forwarded-for': '10.1.2.3' },
  });
  t.equal(elsewhere.status, 200);
  t.same(
    life.upstream.requests.at(-1)?.header('x-forwarded-for'),
    ['127.0.0.2'],
    'a stranger cannot say where it comes from',
  );
  t.match(
    await life.metrics(),
    `portcullis_authentications_total{authenticator="legacy",result="refused",reason="network"} ${outside.length + 1}\n`,
  );
});
