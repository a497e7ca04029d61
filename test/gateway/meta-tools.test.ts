// Superset's tool search on the wire: what goes through call_tool is judged, recorded and counted as the tool that it calls.
import { createHash } from 'node:crypto';
import t, { type Test } from 'tap';
import { type ClientAnswer, toolCall } from '../support/client.ts';
import { startScenario } from '../support/scenario.ts';

const digestOf = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`;
const scenario = await startScenario(
  t,
  {
    routes: [
      {
        name: 'mcp',
        path: '/mcp',
        mcp: {
          preset: 'superset',
          metaTools: { run: { name: '/call/tool', arguments: '/call/with' } },
          audit: { arguments: { execute_sql: ['/request/limit'], call_tool: ['/name'] } },
          forwardHeaders: ['x-dashboard-hint'],
          rules: [
            { name: 'no-proxy', deny: { tools: ['run'], when: "tool == 'list_charts'" } },
            {
              name: 'rows',
              allow: { tools: ['execute_sql'] },
              require: {
                scopes: ['queries:execute'],
                when: 'has(args.request) && has(args.request.limit) && args.request.limit <= 1000',
              },
            },
          ],
        },
      },
      { name: 'plain', path: '/plain', mcp: { rules: [{ allow: { tools: ['call_tool'] } }] } },
      {
        name: 'bare',
        path: '/bare',
        mcp: {
          preset: { name: 'superset', rules: false },
          rules: [{ name: 'look', allow: { tools: ['list_dashboards', 'call_tool'] } }],
        },
      },
    ],
  },
  {
    reply(_request, response) {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end('{"jsonrpc":"2.0","id":1,"result":{"content":[]}}');
    },
  },
);
const { anybody: client, upstream } = scenario;
const agent = scenario.agent.headers;
const frontend = scenario.frontend.headers;

const through = (name: string, args?: object, id: string | number = 7) =>
  toolCall('call_tool', { name, ...(args && { arguments: args }) }, id);

const post = (body: string | object, headers = agent, path = '/mcp') => client.post(body, { headers, path });

/** Sends it and asserts that the upstream got exactly these bytes; yields both records. */
async function allowed(
  t: Test,
  name: string,
  body: string | object,
  mcp: object,
  rule: string,
  headers = agent,
  path = '/mcp',
) {
  const before = upstream.requests.length;
  const answer = await post(body, headers, path);
  t.equal(answer.status, 200, name);
  t.equal(upstream.requests.length, before + 1, `${name}: one request`);
  const sent = typeof body === 'string' ? body : JSON.stringify(body);
  t.equal(upstream.requests.at(-1)?.body.toString(), sent, `${name}: the bytes that were judged`);
  const [decided, completed] = await scenario.recordsOf(answer);
  t.match(completed, { decision: 'allow', rule, mcp, outcome: 'completed' }, `${name}: record`);
  t.match(decided, { stage: 'decided', decision: 'allow', rule, mcp }, `${name}: record before`);
  return upstream.requests.at(-1)!;
}

/** Sends it and asserts that it was refused, unseen by the upstream, and what the record and the answer say. */
async function refused(
  t: Test,
  name: string,
  body: string | object,
  expected: { status: number; code: string; id?: unknown; record: object },
  headers = agent,
  path = '/mcp',
): Promise<ClientAnswer> {
  const before = upstream.requests.length;
  const answer = await post(body, headers, path);
  t.equal(answer.status, expected.status, name);
  const { id, error } = JSON.parse(answer.text);
  t.equal(error.data.code, expected.code, `${name}: code`);
  t.equal(id, expected.id ?? 7, `${name}: the id of the caller`);
  t.match(error.message, /^[A-Z`].{10,}\.$/, `${name}: a sentence`);
  t.equal(upstream.requests.length, before, `${name}: the upstream saw nothing`);
  t.match(
    await scenario.recordsOf(answer),
    [{ stage: 'completed', decision: 'deny', outcome: 'refused', reason: expected.code, ...expected.record }],
    `${name}: record`,
  );
  return answer;
}

t.test('a call through call_tool is judged, recorded and forwarded as it is', async (t) => {
  const body =
    '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"call_tool","arguments":{"arguments":{ "request":{"limit":10,"sql":"SELECT 1"} },"name":"execute_\\u0073ql"}}}';
  const mcp = { tool: 'execute_sql', via: 'call_tool', method: 'tools/call', arguments: { '/request/limit': 10 } };
  await allowed(t, 'within the limit', body, mcp, 'rows');
  const dashboards = through('list_dashboards', { request: {} });
  await allowed(
    t,
    'the preset allows',
    dashboards,
    { tool: 'list_dashboards', via: 'call_tool', arguments: digestOf('{"request":{}}') },
    'superset:view',
    frontend,
  );
  await allowed(
    t,
    'directly',
    toolCall('list_dashboards', {}, 7),
    { tool: 'list_dashboards', via: undefined },
    'superset:view',
  );
  await allowed(
    t,
    'no arguments',
    through('health_check'),
    { tool: 'health_check', via: 'call_tool', arguments: undefined },
    'superset:open',
  );
  await allowed(
    t,
    'a search',
    toolCall('search_tools', { query: 'sql' }),
    { tool: 'search_tools', via: undefined },
    'superset:open',
  );
  const run = toolCall('run', { call: { tool: 'list_dashboards', with: {} } });
  await allowed(t, 'a meta-tool of the operator', run, { tool: 'list_dashboards', via: 'run' }, 'superset:view');
});

t.test('what the inner tool may not do, call_tool may not', async (t) => {
  const denied = { status: 200, code: 'denied' };
  const scope = await refused(
    t,
    'SQL for the frontend',
    through('save_sql_query', { request: {} }),
    {
      status: 403,
      code: 'insufficient_scope',
      record: {
        rule: 'superset:sql',
        mcp: { tool: 'save_sql_query', via: 'call_tool' },
        scopes: { missing: ['queries:execute'] },
      },
    },
    frontend,
  );
  t.match(scope.headers['www-authenticate'], 'scope="queries:execute"');
  await refused(t, 'an export', through('get_chart_data', { request: { identifier: 1, format: 'csv' } }), {
    status: 403,
    code: 'insufficient_scope',
    record: { rule: 'superset:chart-export', mcp: { tool: 'get_chart_data', via: 'call_tool' } },
  });
  await refused(t, 'too many rows', through('execute_sql', { request: { limit: 1001 } }), {
    ...denied,
    record: { rule: 'rows', mcp: { tool: 'execute_sql', via: 'call_tool', arguments: { '/request/limit': 1001 } } },
  });
  await refused(t, 'an unknown tool', through('delete_dashboard', {}), {
    ...denied,
    record: { rule: undefined, mcp: { tool: 'delete_dashboard', via: 'call_tool' } },
  });
  await refused(t, 'a deny of the meta-tool', toolCall('run', { call: { tool: 'list_charts' } }, 7), {
    ...denied,
    record: { rule: 'no-proxy', mcp: { tool: 'list_charts', via: 'run' } },
  });
  await refused(
    t,
    'an allow of the meta-tool opens nothing',
    through('execute_sql', {}),
    { ...denied, record: { rule: undefined, mcp: { tool: 'execute_sql', via: 'call_tool' } } },
    agent,
    '/bare',
  );
});

t.test('a call that hides its tool is refused with the id of the caller, and recorded as it was sent', async (t) => {
  const hiding: [string, string][] = [
    ['nesting', '{"name":"call_tool","arguments":{"name":"execute_sql","arguments":{}}}'],
    ['nesting through another one', '{"name":"run","arguments":{"call":{"tool":"execute_sql"}}}'],
    ['a search within', '{"name":"search_tools","arguments":{"query":"x"}}'],
    ['a member beside', '{"name":"list_dashboards","arguments":{},"tool":"execute_sql"}'],
    ['another spelling', '{"name":"list_dashboards","Name":"execute_sql"}'],
    ['no name', '{"arguments":{}}'],
    ['a name that is no string', '{"name":["execute_sql"]}'],
    ['arguments as text', '{"name":"execute_sql","arguments":"{}"}'],
  ];
  for (const [name, args] of hiding) {
    const body = `{"jsonrpc":"2.0","id":"q","method":"tools/call","params":{"name":"call_tool","arguments":${args}}}`;
    await refused(t, name, body, {
      status: 400,
      code: 'invalid_jsonrpc',
      id: 'q',
      record: { mcp: { method: 'tools/call', tool: 'call_tool', via: undefined } },
    });
  }
  const twice = '{"name":"list_dashboards","n\\u0061me":"execute_sql"}';
  const body = `{"jsonrpc":"2.0","id":"q","method":"tools/call","params":{"name":"call_tool","arguments":${twice}}}`;
  const before = upstream.requests.length;
  t.match(JSON.parse((await post(body)).text), { id: 'q', error: { data: { code: 'invalid_jsonrpc' } } });
  t.equal(upstream.requests.length, before);
});

t.test('headers repeat the name in the body, which is the meta-tool', async (t) => {
  const named = (name: string) => ({ ...agent, 'mcp-method': 'tools/call', 'mcp-name': name });
  const body = through('list_dashboards', {});
  const mcp = { tool: 'list_dashboards', via: 'call_tool' };
  await allowed(t, 'the meta-tool', body, mcp, 'superset:view', named('call_tool'));
  const mismatch = { status: 400, code: 'header_mismatch', record: { mcp } };
  await refused(t, 'the inner tool', body, mismatch, named('list_dashboards'));
});

t.test('where no meta-tool is configured a tool of that name is a tool', async (t) => {
  const nested = through('call_tool', { name: 'x' });
  await allowed(t, 'as it is', nested, { tool: 'call_tool', via: undefined }, 'rules[0]', agent, '/plain');
});

t.test('without its rules the preset allows nothing by itself', async (t) => {
  await allowed(
    t,
    'a rule of the operator',
    through('list_dashboards', {}),
    { tool: 'list_dashboards', via: 'call_tool' },
    'look',
    agent,
    '/bare',
  );
  const expected = { status: 200, code: 'denied', record: { rule: undefined } };
  await refused(t, 'not even health', toolCall('health_check', {}, 7), expected, agent, '/bare');
});

t.test('metrics count the inner tool, from a closed list', async (t) => {
  await post(through('no_such_tool', {}));
  await post(through('get_schema', {}));
  const metrics = await scenario.metrics();
  const toolsOf = (name: string) =>
    new Set(
      [...metrics.matchAll(new RegExp(`^portcullis_tool_calls_total\\{route="${name}",tool="([^"]*)"`, 'gm'))].map(
        (match) => match[1],
      ),
    );
  const counted = toolsOf('mcp');
  for (const tool of ['get_schema', 'execute_sql', 'save_sql_query', 'search_tools', 'other'])
    t.ok(counted.has(tool), tool);
  t.notOk(counted.has('no_such_tool'));
  t.ok(counted.has('call_tool'), 'only for calls that hid their tool');
  t.ok(toolsOf('bare').has('health_check'), 'the preset names it, with its rules or without');
});

t.test('scopes of the preset are in the metadata, and its challenge asks for them', async (t) => {
  const scopes = ['dashboards:read', 'exports:create', 'dashboards:write', 'queries:read', 'queries:execute'];
  const metadata = await client.send({ method: 'GET', path: '/.well-known/oauth-protected-resource/mcp' });
  t.same(new Set(JSON.parse(metadata.text).scopes_supported), new Set(scopes));
  const bare = await post(toolCall('health_check'), {} as typeof agent);
  t.equal(bare.status, 401);
  for (const scope of scopes) t.match(bare.headers['www-authenticate'], scope);
});

t.test('the header that Superset believes about dashboards never crosses, however it is written', async (t) => {
  for (const name of ['x-superset-dashboard-scope', 'X_Superset_Dashboard_Scope', 'x.superset.dashboard.scope']) {
    const headers = { ...agent, [name]: 'eJwDAAAAAAE', 'x-dashboard-hint': 'kept' };
    const seen = await allowed(t, name, toolCall('health_check'), { tool: 'health_check' }, 'superset:open', headers);
    t.same(seen.header(name), []);
    t.same(seen.header('x-dashboard-hint'), ['kept']);
  }
});
