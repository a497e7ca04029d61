// Duties of a resource server towards MCP clients (MCP authorization, RFC 6750, RFC 9728), held as a conformance suite would: from outside, and with
// the SDKs' own readers of challenges.
import { randomBytes } from 'node:crypto';
import { extractWWWAuthenticateParams as readSecondGeneration } from '@modelcontextprotocol/client';
import { extractWWWAuthenticateParams as readFirstGeneration } from '@modelcontextprotocol/sdk/client/auth.js';
import t, { type Test } from 'tap';
import { type ClientAnswer, toolCall } from '../support/client.ts';
import { listDashboards } from '../support/configuration.ts';
import { startScenario } from '../support/scenario.ts';

const page = 'https://app.example.com';
const resource = 'https://mcp.example.com/mcp';
const metadataUrl = 'https://mcp.example.com/.well-known/oauth-protected-resource/mcp';
const scenario = await startScenario(
  t,
  {
    server: { allowedOrigins: [page] },
    authenticators: { corp: { clockTolerance: '0s' }, keys: { keys: [] } },
    routes: [
      {
        name: 'mcp',
        path: '/mcp',
        authenticate: { anyOf: ['corp', 'keys'], optional: ['workloads'] },
        certificateFor: ['ai_agent_prod'],
        mcp: {
          denials: 'http',
          challengeScopes: ['dashboards:read'],
          rules: [
            { deny: { tools: ['delete_*'] } },
            listDashboards,
            {
              allow: { tools: ['get_chart_data'], when: "has(args.format) && args.format == 'json'" },
              require: { scopes: ['dashboards:read'] },
            },
            { allow: { tools: ['get_chart_data'] }, require: { scopes: ['dashboards:read', 'exports:create'] } },
            { allow: { tools: ['execute_sql'] }, require: { scopes: ['queries:execute'], when: 'args.limit <= 1000' } },
            {
              allow: { tools: ['update_chart'] },
              require: { scopes: ['dashboards:write'], authenticatedBy: ['workloads'] },
            },
            { allow: { tools: ['list_users'], networks: ['10.0.0.0/8'] }, require: { scopes: ['admin'] } },
            { allow: { tools: ['save_sql_query'] }, require: { anyScope: ['queries:execute', 'queries:read'] } },
            { allow: { resources: ['db://a'] }, require: { scopes: ['a:read'] } },
            { allow: { resources: ['db://b'] }, require: { scopes: ['b:read'] } },
          ],
        },
      },
    ],
  },
  { tls: true },
);
const { anybody: client, issuer, upstream } = scenario;

const token = (claims: object = {}) =>
  issuer.token({ client_id: 'analytics_frontend', sub: 'frontend', scope: 'dashboards:read', ...claims });
const bearer = async (claims?: object) => ({ authorization: `Bearer ${await token(claims)}` });
const list = toolCall('list_dashboards');

interface Challenge {
  readonly error?: string | undefined;
  readonly scope?: string | undefined;
}

/** Reads the challenge as each client would, and holds it against the rules that all of them rely on. */
function assertChallenge(t: Test, name: string, answer: ClientAnswer, { error, scope }: Challenge): void {
  const value = answer.headers['www-authenticate'] ?? '';
  t.match(value, /^Bearer [a-z_]+="[ -~]*"(, [a-z_]+="[ -~]*")*$/, `${name}: Bearer first, quoted ASCII parameters`);
  const names = [...value.matchAll(/([a-z_]+)="/g)].map(([, parameter]) => parameter);
  t.equal(new Set(names).size, names.length, `${name}: each parameter once`);
  const response = new Response(null, { status: answer.status, headers: { 'www-authenticate': value } });
  const read = readFirstGeneration(response);
  t.match(
    [read.error, read.scope, read.resourceMetadataUrl?.href],
    [error, scope, metadataUrl],
    `${name}: first generation`,
  );
  const { error: second, scope: asked, resourceMetadataUrl } = readSecondGeneration(response);
  t.match([second, asked, resourceMetadataUrl?.href], [error, scope, metadataUrl], `${name}: second generation`);
}

async function assertRefused(t: Test, name: string, answer: ClientAnswer, status: number, code: string): Promise<void> {
  t.equal(answer.status, status, `${name}: status`);
  const body = JSON.parse(answer.text);
  t.equal(body.code ?? body.error.data.code, code, `${name}: code`);
  t.equal(answer.headers['cache-control'], 'no-store');
  t.match(await scenario.record(({ id }) => id === answer.id), {
    stage: 'completed',
    decision: 'deny',
    outcome: 'refused',
    reason: code,
    status,
  });
}

t.test('401: without a credential every verb of the endpoint says where to begin, and names no error', async (t) => {
  const before = upstream.requests.length;
  const values = new Set<string>();
  for (const [name, send] of [
    ['POST', () => client.post(list)],
    ['initialize', () => client.post({ jsonrpc: '2.0', id: 1, method: 'initialize', params: {} })],
    ['GET', () => client.send({ path: '/mcp', headers: { accept: 'text/event-stream' } })],
    ['DELETE', () => client.send({ method: 'DELETE', path: '/mcp', headers: { 'mcp-session-id': 'x' } })],
    ['a body that is no JSON', () => client.post('{')],
  ] as const) {
    const answer = await send();
    await assertRefused(t, name, answer, 401, 'credentials_required');
    assertChallenge(t, name, answer, { error: undefined, scope: 'dashboards:read' });
    values.add(answer.headers['www-authenticate']!);
  }
  t.equal(values.size, 1, 'the same to the byte');
  t.equal(upstream.requests.length, before);
});

t.test('401: whatever is wrong with a token, the answer is invalid_token', async (t) => {
  const before = upstream.requests.length;
  const good = await token();
  const cases: Record<string, string> = {
    expired: await token({ exp: 1 }),
    'not valid yet': await token({ nbf: 4_000_000_000 }),
    'for another resource': await token({ aud: 'https://other.example/mcp' }),
    'for the origin alone': await token({ aud: 'https://mcp.example.com' }),
    'of another issuer': await token({ iss: 'https://other.example' }),
    'with another signature': `${good.slice(0, -6)}AAAAAA`,
    opaque: randomBytes(16).toString('hex'),
    'a key that nobody has': `sk_${'k'.repeat(43)}`,
  };
  const values = new Set<string>();
  for (const [name, value] of Object.entries(cases)) {
    const answer = await client.post(list, { headers: { authorization: `Bearer ${value}` } });
    await assertRefused(t, name, answer, 401, value.startsWith('sk_') ? 'invalid_api_key' : 'invalid_token');
    assertChallenge(t, name, answer, { error: 'invalid_token', scope: 'dashboards:read' });
    values.add(answer.headers['www-authenticate']!);
  }
  t.equal(values.size, 1, 'and it does not say which');
  const twice = await client.post(list, { headers: { authorization: [`Bearer ${good}`, `Bearer ${good}`] } });
  await assertRefused(t, 'two credentials', twice, 400, 'duplicate_header');
  const query = await client.post(list, { path: `/mcp?access_token=${good}` });
  t.equal(query.status, 400, 'a token in the query');
  t.equal(upstream.requests.length, before);
});

t.test('discovery: from the challenge to the document, and to the authorization server that it names', async (t) => {
  const { resourceMetadataUrl } = readSecondGeneration(
    new Response(null, { headers: { 'www-authenticate': (await client.post(list)).headers['www-authenticate']! } }),
  );
  t.equal(resourceMetadataUrl?.origin, 'https://mcp.example.com');
  for (const path of [resourceMetadataUrl!.pathname, '/.well-known/oauth-protected-resource']) {
    const answer = await client.send({ path });
    t.match([answer.status, answer.headers['content-type']], [200, 'application/json'], path);
    const document = JSON.parse(answer.text);
    t.equal(document.resource, resource, 'to the byte what the client was given');
    t.same(document.authorization_servers, [issuer.issuer]);
    t.same(document.scopes_supported, ['dashboards:read']);
    t.same(document.bearer_methods_supported, ['header']);
    t.notOk(Object.values(document).some((value) => Array.isArray(value) && value.length === 0));
    const metadata = await fetch(`${document.authorization_servers[0]}/.well-known/oauth-authorization-server`);
    t.equal(((await metadata.json()) as { issuer: string }).issuer, document.authorization_servers[0]);
  }
});

t.test('403: what the operation needs, in one challenge, and success with a token for just that', async (t) => {
  const subscribe = {
    jsonrpc: '2.0',
    id: 1,
    method: 'subscriptions/listen',
    params: {
      notifications: { resourceSubscriptions: ['db://a', 'db://b'] },
      _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' },
    },
  };
  const modern = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'subscriptions/listen' };
  const cases: [name: string, message: object, granted: string, scope: string, headers?: Record<string, string>][] = [
    ['a tool', toolCall('list_dashboards'), '', 'dashboards:read'],
    ['these arguments', toolCall('get_chart_data', { format: 'csv' }), '', 'dashboards:read exports:create'],
    ['one of two is there', toolCall('get_chart_data'), 'dashboards:read', 'dashboards:read exports:create'],
    ['other arguments', toolCall('get_chart_data', { format: 'json' }), 'exports:create', 'dashboards:read'],
    ['under a condition', toolCall('execute_sql', { limit: 10 }), 'dashboards:read', 'queries:execute'],
    ['one of several', toolCall('save_sql_query'), 'dashboards:read', 'queries:execute'],
    ['a resource', { jsonrpc: '2.0', id: 1, method: 'resources/read', params: { uri: 'db://a' } }, '', 'a:read'],
    ['several resources', subscribe, '', 'a:read b:read', modern],
  ];
  for (const [name, message, granted, scope, headers = {}] of cases) {
    const before = upstream.requests.length;
    const weak = { ...headers, ...(await bearer({ scope: granted })) };
    const answer = await client.post(message, { headers: weak });
    await assertRefused(t, name, answer, 403, 'insufficient_scope');
    assertChallenge(t, name, answer, { error: 'insufficient_scope', scope });
    const again = await client.post(message, { headers: { ...headers, ...(await bearer({ scope: granted })) } });
    t.equal(again.headers['www-authenticate'], answer.headers['www-authenticate'], `${name}: the same again`);
    t.equal(upstream.requests.length, before, `${name}: the upstream saw nothing`);
    const escalated = await client.post(message, { headers: { ...headers, ...(await bearer({ scope })) } });
    t.equal(escalated.status, 200, `${name}: and this is enough`);
    t.equal(upstream.requests.length, before + 1);
  }
});

t.test('403: no challenge where more scope would not help', async (t) => {
  const before = upstream.requests.length;
  const everything = 'dashboards:read dashboards:write queries:execute exports:create admin';
  const cases: [name: string, message: object, code: string][] = [
    ['a rule denies it', toolCall('delete_dashboard'), 'denied'],
    ['no rule allows it', toolCall('unheard_of'), 'denied'],
    ['the condition does not hold', toolCall('execute_sql', { limit: 5000 }), 'denied'],
    ['the condition errs', toolCall('execute_sql'), 'condition_error'],
    ['it takes a certificate', toolCall('update_chart'), 'denied'],
    ['it takes another network', toolCall('list_users'), 'denied'],
    ['an unknown method', { jsonrpc: '2.0', id: 1, method: 'secrets/read' }, 'denied'],
  ];
  for (const scope of ['', everything]) {
    for (const [name, message, code] of cases) {
      const answer = await client.post(message, { headers: await bearer({ scope }) });
      await assertRefused(t, name, answer, 403, code);
      t.equal(answer.headers['www-authenticate'], undefined, name);
      t.equal(JSON.parse(answer.text).error.data.scopes, undefined, name);
    }
  }
  const foreign = await client.post(list, { headers: { ...(await bearer()), origin: 'https://evil.example' } });
  await assertRefused(t, 'another page', foreign, 403, 'origin_denied');
  t.equal(foreign.headers['www-authenticate'], undefined);
  const stolen = await client.post(list, { headers: await bearer({ client_id: 'ai_agent_prod' }) });
  await assertRefused(t, 'a token without the certificate of its client', stolen, 401, 'credentials_required');
  assertChallenge(t, 'it', stolen, { error: undefined, scope: 'dashboards:read' });
  t.equal(upstream.requests.length, before);
});

t.test('a page of an allowed origin can read each challenge', async (t) => {
  const challenged: [string, object, number][] = [
    ['nothing presented', {}, 401],
    ['a bad token', { authorization: 'Bearer nonsense' }, 401],
    ['too little scope', await bearer({ scope: '' }), 403],
  ];
  for (const [name, headers, status] of challenged) {
    const answer = await client.post(list, { headers: { ...headers, origin: page } });
    t.equal(answer.status, status, name);
    t.equal(answer.headers['access-control-allow-origin'], page, name);
    t.match(answer.headers['access-control-expose-headers'], /(^|, )WWW-Authenticate(,|$)/, name);
    t.match(answer.headers['www-authenticate'], /^Bearer /, name);
  }
});

t.test('a credential is asked for on every request, also within a session', async (t) => {
  const first = await client.post(
    { jsonrpc: '2.0', id: 1, method: 'initialize', params: {} },
    { headers: await bearer() },
  );
  t.equal(first.status, 200);
  const later = await client.post(list, { headers: { 'mcp-session-id': 'any' } });
  await assertRefused(t, 'the next one', later, 401, 'credentials_required');
});
