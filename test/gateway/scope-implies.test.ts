// A scope that implies others, over real requests: in decisions, lists, challenges, conditions, records and what the upstream is told.
import { createHash } from 'node:crypto';
import t from 'tap';
import { type ClientAnswer, createClient, toolCall } from '../support/client.ts';
import { startTestGateway } from '../support/gateway.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { startUpstream } from '../support/upstream.ts';

const catalogue = ['list_dashboards', 'generate_dashboard', 'export_dashboard', 'execute_sql', 'get_schema'];
const upstream = await startUpstream({
  reply(request, response) {
    const { id } = JSON.parse(request.body.toString()) as { id: number };
    const tools = catalogue.map((name) => ({ name, inputSchema: { type: 'object' } }));
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ jsonrpc: '2.0', id, result: { content: [], tools } }));
  },
});
const issuer = await createFakeIssuer();
const key = `sk_${'k'.repeat(43)}`;
const hash = `sha256:${createHash('sha256').update(key).digest('hex')}`;
const yaml = (scopeImplies: string) => `
version: 1
server: {listen: "127.0.0.1:0", publicUrl: https://mcp.example.com}
admin: {listen: "127.0.0.1:0"}
authenticators:
  corp: {type: jwt, issuer: "${issuer.issuer}", maxScopes: ["dashboards:write", "exports:create"]}
  keys: {type: apiKey, keys: [{id: k1, hash: "${hash}", clientId: reporting_tool, scopes: [admin], expires: 2099-01-01}]}
scopeImplies: ${scopeImplies}
upstreams: {superset: {url: "${upstream.url}"}}
routes:
  - name: mcp
    path: /mcp
    upstream: superset
    authenticate: {anyOf: [corp, keys]}
    mcp:
      denials: http
      challengeScopes: ["dashboards:read"]
      rules:
        - {allow: {tools: [get_schema], when: "'dashboards:read' in principal.scopes"}}
        - {allow: {tools: [list_dashboards]}, require: {scopes: ["dashboards:read"]}}
        - {allow: {tools: [generate_dashboard]}, require: {scopes: ["dashboards:write"]}}
        - {allow: {tools: [export_dashboard]}, require: {scopes: ["dashboards:read", "exports:create"]}}
        - {allow: {tools: [execute_sql]}, require: {scopes: ["queries:execute"]}}
`;
const hierarchy = '{admin: ["dashboards:write", "queries:execute"], "dashboards:write": ["dashboards:read"]}';
const gateway = await startTestGateway({ yaml: yaml(hierarchy) });
const client = createClient({ port: gateway.port });
t.teardown(async () => {
  client.close();
  await gateway.close();
  await issuer.close();
  await upstream.close();
});

const bearer = async (scope: string) => ({ authorization: `Bearer ${await issuer.token({ scope })}` });
const call = (name: string, headers: Record<string, string>): Promise<ClientAnswer> =>
  client.post(toolCall(name), { headers });
const recordOf = ({ id }: ClientAnswer) => gateway.record((record) => record.id === id && record.stage === 'completed');

t.test('whoever may write may read, under the scope that was granted and what it implies', async (t) => {
  const writer = await bearer('dashboards:write');
  const granted = ['dashboards:write', 'dashboards:read'];
  for (const tool of ['list_dashboards', 'generate_dashboard', 'get_schema']) {
    const answer = await call(tool, writer);
    t.equal(answer.status, 200, tool);
    t.match(await recordOf(answer), { decision: 'allow', scopes: { granted, missing: [] } });
    t.same(upstream.requests.at(-1)?.header('x-forwarded-scopes'), [granted.join(' ')]);
  }
  const reader = await call('generate_dashboard', await bearer('dashboards:read'));
  t.equal(reader.status, 403, 'and not the other way round');
});

t.test('implications are followed through others, for keys too', async (t) => {
  for (const tool of ['list_dashboards', 'generate_dashboard', 'execute_sql']) {
    t.equal((await call(tool, { 'x-api-key': key })).status, 200, tool);
  }
});

t.test('a list shows what is implied, and nothing more', async (t) => {
  const list = async (headers: Record<string, string>) => {
    const answer = await client.post({ jsonrpc: '2.0', id: 1, method: 'tools/list' }, { headers });
    return (JSON.parse(answer.text).result.tools as { name: string }[]).map(({ name }) => name);
  };
  t.same(await list(await bearer('dashboards:write')), ['list_dashboards', 'generate_dashboard', 'get_schema']);
  t.same(await list({ 'x-api-key': key }), ['list_dashboards', 'generate_dashboard', 'execute_sql', 'get_schema']);
});

t.test('what is implied is not missing; the challenge names what the call takes', async (t) => {
  const before = upstream.requests.length;
  const answer = await call('export_dashboard', await bearer('dashboards:write'));
  t.equal(answer.status, 403);
  t.equal(
    answer.headers['www-authenticate'],
    'Bearer error="insufficient_scope", scope="dashboards:read exports:create", resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp"',
  );
  t.match(JSON.parse(answer.text).error.data, { code: 'insufficient_scope', scopes: ['exports:create'] });
  t.match(await recordOf(answer), {
    decision: 'deny',
    reason: 'insufficient_scope',
    scopes: {
      granted: ['dashboards:write', 'dashboards:read'],
      required: ['dashboards:read', 'exports:create'],
      missing: ['exports:create'],
    },
  });
  t.equal(upstream.requests.length, before);
  t.equal((await call('export_dashboard', await bearer('dashboards:write exports:create'))).status, 200);
});

t.test('a cap comes before: a scope that may not be granted implies nothing', async (t) => {
  const answer = await call('execute_sql', await bearer('admin'));
  t.equal(answer.status, 403);
  t.match(await recordOf(answer), { scopes: { granted: [] } });
});

t.test('a reload takes an implication away', async (t) => {
  const writer = await bearer('dashboards:write');
  await gateway.reload(yaml('{}'));
  t.equal((await call('list_dashboards', writer)).status, 403);
  await gateway.reload(yaml(hierarchy));
  t.equal((await call('list_dashboards', writer)).status, 200);
});
