// A scope that implies others, over real requests: in decisions, lists, challenges, conditions, records and what the upstream is told.
import t from 'tap';
import { apiKey, keyEntry, listDashboards } from '../support/configuration.ts';
import { type Caller, startScenario } from '../support/scenario.ts';

const catalogue = ['list_dashboards', 'generate_dashboard', 'export_dashboard', 'execute_sql', 'get_schema'];
const scopeImplies = { admin: ['dashboards:write', 'queries:execute'], 'dashboards:write': ['dashboards:read'] };
const scenario = await startScenario(
  t,
  {
    authenticators: {
      corp: { maxScopes: ['dashboards:write', 'exports:create'] },
      keys: { keys: [keyEntry('k1', apiKey, { scopes: ['admin'] })] },
    },
    scopeImplies,
    routes: {
      '/mcp': {
        mcp: {
          denials: 'http',
          challengeScopes: ['dashboards:read'],
          rules: [
            { allow: { tools: ['get_schema'], when: "'dashboards:read' in principal.scopes" } },
            listDashboards,
            { allow: { tools: ['generate_dashboard'] }, require: { scopes: ['dashboards:write'] } },
            { allow: { tools: ['export_dashboard'] }, require: { scopes: ['dashboards:read', 'exports:create'] } },
            { allow: { tools: ['execute_sql'] }, require: { scopes: ['queries:execute'] } },
          ],
        },
      },
    },
  },
  {
    inject: true,
    reply(request, response) {
      const { id } = JSON.parse(request.body.toString()) as { id: number };
      const tools = catalogue.map((name) => ({ name, inputSchema: { type: 'object' } }));
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ jsonrpc: '2.0', id, result: { content: [], tools } }));
    },
  },
);
const { recordOf, reporting, upstream } = scenario;

/** A client with these scopes. */
const granted = (scope: string) => scenario.as({ claims: { scope } });

t.test('whoever may write may read, under the scope that was granted and what it implies', async (t) => {
  const writer = await granted('dashboards:write');
  const both = ['dashboards:write', 'dashboards:read'];
  for (const tool of ['list_dashboards', 'generate_dashboard', 'get_schema']) {
    const answer = await writer.call(tool);
    t.equal(answer.status, 200, tool);
    t.match(await recordOf(answer), { decision: 'allow', scopes: { granted: both, missing: [] } });
    t.same(upstream.requests.at(-1)?.header('x-forwarded-scopes'), [both.join(' ')]);
  }
  const reader = await granted('dashboards:read');
  t.equal((await reader.call('generate_dashboard')).status, 403, 'and not the other way round');
});

t.test('implications are followed through others, for keys too', async (t) => {
  for (const tool of ['list_dashboards', 'generate_dashboard', 'execute_sql']) {
    t.equal((await reporting.call(tool)).status, 200, tool);
  }
});

t.test('a list shows what is implied, and nothing more', async (t) => {
  const list = async (caller: Caller) => {
    const answer = await caller.post({ jsonrpc: '2.0', id: 1, method: 'tools/list' });
    return (JSON.parse(answer.text).result.tools as { name: string }[]).map(({ name }) => name);
  };
  t.same(await list(await granted('dashboards:write')), ['list_dashboards', 'generate_dashboard', 'get_schema']);
  t.same(await list(reporting), ['list_dashboards', 'generate_dashboard', 'execute_sql', 'get_schema']);
});

t.test('what is implied is not missing; the challenge names what the call takes', async (t) => {
  const before = upstream.requests.length;
  const writer = await granted('dashboards:write');
  const answer = await writer.call('export_dashboard');
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
  const exporter = await granted('dashboards:write exports:create');
  t.equal((await exporter.call('export_dashboard')).status, 200);
});

t.test('a cap comes before: a scope that may not be granted implies nothing', async (t) => {
  const answer = await (await granted('admin')).call('execute_sql');
  t.equal(answer.status, 403);
  t.match(await recordOf(answer), { scopes: { granted: [] } });
});

t.test('a reload takes an implication away', async (t) => {
  const writer = await granted('dashboards:write');
  await scenario.reload({ scopeImplies: undefined });
  t.equal((await writer.call('list_dashboards')).status, 403);
  await scenario.reload();
  t.equal((await writer.call('list_dashboards')).status, 200);
});
