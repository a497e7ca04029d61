// Signed identity assertions: claims for every kind of caller, and rotation of keys without one failed request.
import { generateKeyPairSync, type JsonWebKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { calculateJwkThumbprint, decodeJwt, decodeProtectedHeader } from 'jose';
import t from 'tap';
import type { IssuedCertificate } from '../../src/pki/authority.ts';
import { createTestCertificates } from '../support/certificates.ts';
import { toolCall } from '../support/client.ts';
import { apiKey, type Changes, type Configuration, keyEntry } from '../support/configuration.ts';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';
import { startVerifyingUpstream, type VerifyingUpstream } from '../support/verifying-upstream.ts';

const publicUrl = 'https://mcp.example.com';
const audience = 'superset-mcp';
const newPem = () =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const certificates = await createTestCertificates();
const upstream = await startVerifyingUpstream({ audience, issuer: publicUrl });
t.teardown(upstream.close);
/** Milliseconds that the gateway's clock is ahead of the system's. */
let ahead = 0;

const username = { corp: '${claims.email}', keys: 'svc-${clientId}', default: '${subject}' };
const standard = {
  audience,
  username,
  scopes: ['mcp'],
  claims: { email: 'email', tenant: 'tenant', groups: 'teams' },
  keyFiles: ['one.pem'],
};
const changes: Changes = {
  authenticators: {
    corp: { claims: { email: 'email', tenant: 'org_id', teams: 'groups' } },
    workloads: {
      allow: [{ commonName: 'client-ai-agent-1', clientId: 'ai_agent_prod', scopes: ['dashboards:read'] }],
    },
    keys: { keys: [keyEntry('k1', apiKey, { scopes: ['exports:create'] })] },
  },
  upstreams: { superset: { identity: { assertion: standard } }, plain: { url: upstream.url } },
  routes: [
    { path: '/api', authenticate: { anyOf: ['corp', 'workloads', 'keys'] } },
    { path: '/mcp', mcp: { rules: [{ allow: { tools: ['*'] } }] } },
    { path: '/open', upstream: 'plain', authenticate: 'none' },
  ],
};
const scenario = await startScenario(t, changes, {
  upstream,
  tls: certificates,
  files: { 'one.pem': newPem(), 'two.pem': newPem() },
  now: () => Date.now() + ahead,
  logToFile: true,
});
const { issuer } = scenario;
/** Reloads with another assertion, of which nothing stays but for whom it is and how it names the caller. */
const reloadWith = (assertion: Configuration, superset: Configuration = {}) =>
  scenario.reload({
    upstreams: {
      superset: {
        identity: { assertion: { scopes: undefined, claims: undefined, keyFiles: undefined, ...assertion } },
        ...superset,
      },
    },
  });
const keysUrlOf = (port: number) => `http://127.0.0.1:${port}/.well-known/jwks.json`;
upstream.keysUrl = keysUrlOf(scenario.adminPort);
t.beforeEach(() => {
  ahead = 0;
});

const open = (certificate?: IssuedCertificate) => scenario.connect({ certificate });
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const claims = { sub: 'auth0|7', email: 'ann@example.com', org_id: 'acme', groups: ['bi', 'ops'] };
const tokenOf = (more: object = {}) => scenario.bearer({ ...claims, ...more });
const sent = (of: VerifyingUpstream = upstream) => of.requests.at(-1)!.header('authorization')[0]!;

const fixed = { iss: publicUrl, aud: audience };
const ofAgent = (issuedBy: string) => ({
  client_id: 'ai_agent_prod',
  azp: 'ai_agent_prod',
  act: { iss: issuedBy, sub: 'ai_agent_prod' },
});
const ofToken = {
  ...fixed,
  ...ofAgent(issuer.issuer),
  sub: 'ann@example.com',
  preferred_username: 'ann@example.com',
  email: 'ann@example.com',
  tenant: 'acme',
  groups: ['bi', 'ops'],
};
const kinds: Record<string, { certificate?: typeof certificates.agent; headers: object; said: object }> = {
  'a token': {
    headers: await tokenOf(),
    said: { ...ofToken, scope: 'dashboards:read queries:execute mcp' },
  },
  'a token with a certificate': {
    certificate: certificates.agent,
    headers: await tokenOf(),
    said: { ...ofToken, scope: 'dashboards:read mcp' },
  },
  'a certificate': {
    certificate: certificates.agent,
    headers: {},
    said: {
      ...fixed,
      ...ofAgent('workloads'),
      sub: 'client-ai-agent-1',
      preferred_username: 'client-ai-agent-1',
      scope: 'dashboards:read mcp',
    },
  },
  'an API key': {
    headers: { 'x-api-key': apiKey },
    said: {
      ...fixed,
      sub: 'svc-reporting_tool',
      preferred_username: 'svc-reporting_tool',
      client_id: 'reporting_tool',
      azp: 'reporting_tool',
      act: { iss: 'keys', sub: 'reporting_tool' },
      scope: 'exports:create mcp',
    },
  },
  'a token that names no client and maps nothing': {
    headers: await tokenOf({ client_id: undefined, org_id: undefined, groups: undefined, scope: undefined }),
    said: {
      ...fixed,
      sub: 'ann@example.com',
      preferred_username: 'ann@example.com',
      email: 'ann@example.com',
      scope: 'mcp',
    },
  },
};

for (const [name, { certificate, headers, said }] of Object.entries(kinds)) {
  t.test(`${name}: the upstream verifies exactly this`, async (t) => {
    const answer = await open(certificate).send({ path: '/api', headers: headers as Record<string, string> });
    t.equal(answer.status, 200, upstream.refused.at(-1) ?? '');
    const { jti, iat, exp, ...others } = upstream.verified.at(-1) as Record<string, number>;
    t.same(others, said);
    t.match(jti, /^[0-9a-f-]{36}$/);
    t.ok(Math.abs(iat! - Date.now() / 1000) < 30);
    t.equal(exp! - iat!, 60);
    t.match(decodeProtectedHeader(sent().slice(7)), { alg: 'ES256', typ: 'JWT' });
    t.equal(upstream.requests.at(-1)!.header('x-forwarded-auth-method').length, 1, 'identity headers go on as before');
  });
}

t.test('the key set is public on both listeners, and holds nothing private', async (t) => {
  const client = open();
  const path = '/.well-known/jwks.json';
  const answer = await client.send({ path, headers: { origin: 'https://evil.example', host: publicUrl.slice(8) } });
  t.equal(answer.status, 200);
  t.match(answer.headers, {
    'content-type': 'application/json',
    'access-control-allow-origin': '*',
    'cache-control': 'public, max-age=300',
  });
  const [jwk, ...others] = (JSON.parse(answer.text) as { keys: JsonWebKey[] }).keys;
  t.same(others, []);
  t.same(Object.keys(jwk!).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
  t.match(jwk, { kty: 'EC', crv: 'P-256', use: 'sig', alg: 'ES256' });
  t.equal(jwk!.kid, await calculateJwkThumbprint(jwk as never), 'RFC 7638');
  const admin = await fetch(keysUrlOf(scenario.adminPort));
  t.equal(admin.headers.get('cache-control'), 'public, max-age=300');
  t.equal(await admin.text(), answer.text);
  t.equal((await fetch(keysUrlOf(scenario.adminPort), { method: 'HEAD' })).status, 200);
  const head = await client.send({ method: 'HEAD', path });
  t.match(head, { status: 200, text: '', headers: { 'content-length': String(answer.text.length) } });
  t.equal((await client.send({ method: 'POST', path })).status, 405);
  const wrongHost = await client.send({ path, headers: { host: 'elsewhere.example' } });
  t.equal(wrongHost.status, 200, 'as other documents that the gateway answers with itself');
});

t.test('a missing claim is 403 denied, and the upstream is not asked', async (t) => {
  const client = open();
  const bad: Record<string, object> = {
    absent: { email: undefined },
    empty: { email: '' },
    'a list': { email: ['ann@example.com', 'root'] },
    'an object': { email: { toString: 'root' } },
    null: { email: null },
    'with a line break': { email: 'ann@example.com\nroot' },
    'no Unicode': { email: '\ud800' },
    'too long': { email: 'a'.repeat(257) },
  };
  for (const [name, more] of Object.entries(bad)) {
    const before = upstream.requests.length;
    const headers = await tokenOf(more);
    const path = await client.send({ path: '/api', headers });
    t.equal(path.status, 403, name);
    t.match(JSON.parse(path.text), { code: 'denied' }, name);
    const call = await client.post(toolCall('list_charts'), { headers });
    t.equal(call.status, 200, name);
    t.match(JSON.parse(call.text), { error: { code: 403, data: { code: 'denied' } } }, name);
    const list = await client.post({ jsonrpc: '2.0', id: 1, method: 'tools/list' }, { headers });
    t.equal(list.status, 403, name);
    t.equal(upstream.requests.length, before, name);
    const missing = name === 'too long' ? 'username' : 'claims.email';
    t.match(await scenario.record(({ id }) => id === path.id), {
      stage: 'completed',
      decision: 'deny',
      reason: 'denied',
      outcome: 'refused',
      status: 403,
      detail: { identity: { missing } },
    });
  }
  t.match(await scenario.metrics(), /portcullis_requests_total\{route="\/api",outcome="refused",status="403"\} \d/);
});

t.test('too large an identity is denied, not cut', async (t) => {
  const client = open();
  const groups = ['x'.repeat(3500)];
  t.equal((await client.send({ path: '/api', headers: await tokenOf({ groups }) })).status, 200);
  await reloadWith({ claims: { groups: 'teams', teams: 'teams' } });
  const before = upstream.requests.length;
  const answer = await client.send({ path: '/api', headers: await tokenOf({ groups }) });
  t.equal(answer.status, 403);
  t.match(await scenario.record(({ id }) => id === answer.id), {
    reason: 'denied',
    detail: { identity: { tooLarge: true } },
  });
  t.equal(upstream.requests.length, before);
  await scenario.reload();
});

t.test('one signature a principal and lifetime, not one a request', async (t) => {
  const client = open();
  const ask = async (headers: Record<string, string>): Promise<string> => {
    t.equal((await client.send({ path: '/api', headers })).status, 200);
    return sent();
  };
  const first = await ask(await tokenOf({ sub: 'reuse' }));
  t.equal(await ask(await tokenOf({ sub: 'reuse', jti: 'another' })), first, 'another token with the same claims');
  t.equal((await client.post(toolCall('a'), { headers: await tokenOf({ sub: 'reuse' }) })).status, 200);
  t.equal(sent(), first, 'another route of the same upstream');
  t.not(await ask(await tokenOf({ sub: 'reuse', scope: 'dashboards:read' })), first, 'other scopes');
  t.not(await ask(await tokenOf({ sub: 'reuse', org_id: 'other' })), first, 'another tenant');
  t.not(await ask(await tokenOf({ sub: 'reuse', client_id: 'other' })), first, 'another client');
  ahead = 45_000;
  t.equal(await ask(await tokenOf({ sub: 'reuse' })), first);
  ahead = 55_000;
  const later = await ask(await tokenOf({ sub: 'reuse' }));
  t.not(later, first, 'close to its end it is not sent any more');
  t.not(decodeJwt(later.slice(7)).jti, decodeJwt(first.slice(7)).jti);
  const many = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const own = open();
      const answer = await own.send({ path: '/api', headers: await tokenOf({ sub: 'many', org_id: 'many' }) });
      t.equal(answer.status, 200);
    }),
  );
  const those = upstream.verified.slice(-many.length);
  t.equal(new Set(those.map(({ jti }) => jti)).size, 1, 'twenty at once wait for one signature');
});

t.test('an assertion never outlives the credential', async (t) => {
  const client = open();
  const nowSeconds = Math.floor(Date.now() / 1000);
  const headers = await tokenOf({ exp: nowSeconds + 20 });
  t.equal((await client.send({ path: '/api', headers })).status, 200);
  const first = sent();
  t.equal(decodeJwt(first.slice(7)).exp, nowSeconds + 20);
  t.equal((await client.send({ path: '/api', headers })).status, 200);
  t.equal(sent(), first, 'signed once all the same');
  ahead = 22_000;
  const before = upstream.requests.length;
  const late = await client.send({ path: '/api', headers });
  t.equal(late.status, 401, 'within clockTolerance, but nothing valid can be made of it');
  t.match(JSON.parse(late.text), { code: 'invalid_token' });
  t.match(late.headers['www-authenticate'], /error="invalid_token"/);
  t.equal(upstream.requests.length, before);
});

t.test("a caller's own Authorization never gets past, and no assertion is in a record or the log", async (t) => {
  const client = open(certificates.agent);
  const forged = await fetchForged();
  const before = upstream.requests.length;
  for (const headers of [bearer(forged), { Authorization: `Bearer ${forged}`, authorization_: 'x' }]) {
    t.equal((await client.send({ path: '/api', headers })).status, 401, 'an assertion is no credential here');
  }
  t.equal(upstream.requests.length, before);
  const answer = await client.send({ path: '/open', headers: { ...bearer(forged), 'x-authorization': 'mine' } });
  t.equal(answer.status, 502, 'the upstream refused what came without a credential of the gateway');
  t.same(upstream.requests.at(-1)!.header('authorization'), []);
  const texts = JSON.stringify(await scenario.records()) + (await scenario.log());
  for (const { rawHeaders } of upstream.requests) {
    const at = rawHeaders.findIndex((name) => name.toLowerCase() === 'authorization');
    if (at !== -1) t.notOk(texts.includes(rawHeaders[at + 1]!.slice(7)));
  }

  async function fetchForged(): Promise<string> {
    t.equal((await client.send({ path: '/api' })).status, 200);
    return sent().slice(7);
  }
});

t.test('keys change under a stream of requests, and not one of them fails', async (t) => {
  const clients = Array.from({ length: 4 }, () => open());
  const statuses: number[] = [];
  const kids = new Set<unknown>();
  let running = true;
  let count = 0;
  const loops = clients.map(async (client, index) => {
    while (running) {
      const headers = await tokenOf({ sub: `stream-${index}-${count++}`, org_id: `t${count}` });
      statuses.push((await client.send({ path: '/api', headers })).status);
      kids.add(decodeProtectedHeader(sent().slice(7)).kid);
    }
  });
  const settled = async (): Promise<void> => {
    const goal = statuses.length + 16;
    await until(() => statuses.length >= goal, '16 more requests');
  };
  const fetches = upstream.fetches();
  await settled();
  t.equal(kids.size, 1);
  for (const [list, size] of [
    [['one.pem', 'two.pem'], 1],
    [['two.pem', 'one.pem'], 2],
    [['two.pem'], 2],
  ] as const) {
    await reloadWith({ keyFiles: list });
    await settled();
    t.equal(kids.size, size, list.join());
  }
  running = false;
  await Promise.all(loops);
  t.same(new Set(statuses), new Set([200]), upstream.refused.at(-1) ?? '');
  t.ok(upstream.fetches() - fetches >= 1, 'the upstream fetched the new key when it met it');
  t.equal(await keyCount(), 1, 'the old key is not published any more');
});

t.test(
  'without keyFiles the key is one of the process, over reloads; without an assertion there is no key set',
  async (t) => {
    const client = open();
    await reloadWith({ lifetime: '30s' });
    const headers = await tokenOf();
    t.equal((await client.send({ path: '/api', headers })).status, 200);
    const first = sent();
    await reloadWith({ lifetime: '40s' });
    t.equal((await client.send({ path: '/api', headers })).status, 200);
    t.not(sent(), first, 'nothing that was made under another configuration is reused');
    t.equal(decodeProtectedHeader(sent().slice(7)).kid, decodeProtectedHeader(first.slice(7)).kid);

    await scenario.reload({ upstreams: { superset: { identity: undefined } } });
    t.equal((await client.send({ path: '/.well-known/jwks.json' })).status, 404);
    t.equal((await fetch(keysUrlOf(scenario.adminPort))).status, 404);
    t.equal((await client.send({ path: '/api', headers })).status, 502);
    t.same(upstream.requests.at(-1)!.header('authorization'), []);
  },
);

t.test('a key that is not good enough leaves the old configuration in force', async (t) => {
  await scenario.reload();
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey;
  await scenario.write('weak.pem', weak.export({ type: 'pkcs8', format: 'pem' }).toString());
  await reloadWith({ algorithm: 'RS256', keyFiles: ['weak.pem'] });
  t.match(await scenario.metrics(), /portcullis_config_last_reload_success 0/);
  t.equal((await open().send({ path: '/api', headers: await tokenOf() })).status, 200);
});

t.test('each algorithm verifies elsewhere', async (t) => {
  for (const algorithm of ['RS256', 'EdDSA', 'ES256'] as const) {
    const other = await startVerifyingUpstream({ audience, issuer: publicUrl, algorithms: [algorithm] });
    t.teardown(() => other.close());
    other.keysUrl = keysUrlOf(scenario.adminPort);
    await reloadWith({ algorithm }, { url: other.url });
    const answer = await open().send({ path: '/api', headers: await tokenOf() });
    t.equal(answer.status, 200, `${algorithm}: ${other.refused.at(-1)}`);
    t.equal(decodeProtectedHeader(sent(other).slice(7)).alg, algorithm);
  }
});

t.test('replicas with the same key files sign and publish the same', async (t) => {
  await scenario.reload();
  const read = (name: string) => readFile(`${scenario.directory}/${name}`, 'utf8');
  const files = { 'one.pem': await read('one.pem') };
  const replica = await startScenario(t, changes, { upstream, issuer, tls: certificates, files });
  const textOf = async (port: number) => (await fetch(keysUrlOf(port))).text();
  t.equal(await textOf(replica.adminPort), await textOf(scenario.adminPort));
  const fetches = upstream.fetches();
  t.equal((await open().send({ path: '/api', headers: await tokenOf() })).status, 200);
  t.equal((await replica.anybody.send({ path: '/api', headers: await tokenOf() })).status, 200);
  t.ok(upstream.fetches() - fetches <= 1, 'an upstream that has the keys of one needs none of the other');
});

async function keyCount(): Promise<number> {
  const set = (await (await fetch(keysUrlOf(scenario.adminPort))).json()) as { keys: unknown[] };
  return set.keys.length;
}
