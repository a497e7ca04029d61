// The demo Superset MCP server: its tools over the official client, and SQL that only reads.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  type CallToolResult,
  CallToolResultSchema,
  LoggingMessageNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { createParser } from 'eventsource-parser';
import fc from 'fast-check';
import t from 'tap';
import { refusalOfSql } from '../../src/dev/superset/read-only-sql.ts';
import { startDemoSuperset } from '../../src/dev/superset/server.ts';

const demo = await startDemoSuperset();
const identity = {
  'x-forwarded-user': 'ai_agent_prod',
  'x-forwarded-client-id': 'ai_agent_prod',
  'x-forwarded-scopes': 'dashboards:read queries:execute',
  'x-forwarded-auth-method': 'oauth',
};
const client = new Client({ name: 'test', version: '1' });
const messages: string[] = [];
client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => {
  messages.push(String((params.data as { msg: string }).msg));
});
const transport = new StreamableHTTPClientTransport(new URL(`${demo.url}/mcp`), { requestInit: { headers: identity } });
await client.connect(transport as Parameters<typeof client.connect>[0]);
t.teardown(async () => {
  await client.close();
  await demo.close();
});

async function call(name: string, request: object | undefined): Promise<{ isError: boolean; text: string }> {
  const params = { name, arguments: request === undefined ? {} : { request } };
  const result = (await client.callTool(params, CallToolResultSchema)) as CallToolResult;
  const [content] = result.content;
  return { isError: result.isError === true, text: content?.type === 'text' ? content.text : '' };
}

/** The result of a call that must succeed, as loosely typed JSON. */
async function result(name: string, request?: object) {
  const { isError, text } = await call(name, request);
  if (isError) throw new Error(`${name}: ${text}`);
  return JSON.parse(text);
}

function sql(text: string, more: object = {}) {
  return call('execute_sql', { database_id: 1, sql: text, ...more });
}

t.test('the official client initializes and sees the tools of Superset, each taking one request object', async (t) => {
  t.equal(client.getServerVersion()?.name, 'Demo Superset MCP Server');
  t.equal(transport.sessionId, undefined);
  const { tools } = await client.listTools();
  const names = tools.map((tool) => tool.name);
  t.same(
    [
      'health_check',
      'get_instance_info',
      'get_schema',
      'list_dashboards',
      'get_dashboard_info',
      'generate_dashboard',
      'add_chart_to_existing_dashboard',
      'list_charts',
      'get_chart_info',
      'get_chart_data',
      'get_chart_preview',
      'generate_chart',
      'update_chart',
      'generate_explore_link',
      'list_databases',
      'get_database_info',
      'list_datasets',
      'get_dataset_info',
      'create_virtual_dataset',
      'execute_sql',
      'save_sql_query',
      'open_sql_lab_with_context',
      'search_tools',
      'call_tool',
    ],
    names,
  );
  for (const tool of tools.slice(0, -2)) t.same(Object.keys(tool.inputSchema.properties ?? {}), ['request'], tool.name);
});

t.test('dashboards and charts are listed, shown, filtered and paged', async (t) => {
  const listed = await result('list_dashboards');
  t.match(listed, { count: 3, total_count: 3, page: 1, has_next: false });
  t.match(listed.dashboards[0], { id: 1, dashboard_title: 'Sales Overview', chart_count: 3 });
  const searched = await result('list_dashboards', { search: 'region' });
  t.same(
    searched.dashboards.map((item: { slug: string }) => item.slug),
    ['regions'],
  );
  const paged = await result('list_charts', {
    page: 2,
    page_size: 2,
    order_column: 'slice_name',
    order_direction: 'desc',
  });
  t.match(paged, { count: 2, total_count: 5, total_pages: 3, has_next: true, has_previous: true });
  const filter = { filters: [{ col: 'viz_type', opr: 'eq', value: 'table' }], select_columns: ['slice_name'] };
  t.same((await result('list_charts', filter)).charts, [{ id: 4, slice_name: 'Largest countries' }]);
  t.match(await call('list_charts', { filters: [{ col: 'nothing', opr: 'eq', value: 1 }] }), { isError: true });
  for (const identifier of [1, '1', 'sales-overview', listed.dashboards[0].uuid]) {
    t.match(await result('get_dashboard_info', { identifier }), { dashboard_title: 'Sales Overview' });
  }
  t.same(await call('get_dashboard_info', { identifier: 99 }), { isError: true, text: 'Dashboard not found: 99' });
  t.match((await result('get_schema', { model_type: 'dataset' })).sortable_columns, /table_name/);
});

t.test('a chart gives its rows as json, csv and text, from the database', async (t) => {
  const data = await result('get_chart_data', { identifier: 3 });
  t.same(
    data.data.map((row: { region: string }) => row.region),
    ['AMER', 'APAC', 'EMEA'],
  );
  const total = data.data.reduce((sum: number, row: Record<string, number>) => sum + (row['COUNT(order_id)'] ?? 0), 0);
  t.equal(total, 480);
  const csv = await result('get_chart_data', { identifier: 1, format: 'csv', limit: 2 });
  t.match(csv.csv_data, /^order_date,SUM\(revenue\)\r\n2024-01,[\d.]+\r\n2024-02,[\d.]+\r\n$/);
  t.match((await result('get_chart_preview', { identifier: 3 })).content, /^AMER █+ \d+\nAPAC █+ \d+\nEMEA █+ \d+$/);
  t.match(
    (await result('get_chart_preview', { identifier: 4, format: 'table' })).content,
    /^country +\| SUM\(quantity\)/,
  );
  t.match(await call('get_chart_data', { identifier: 1, format: 'excel' }), { isError: true });
});

t.test('charts, dashboards, datasets and queries are created and then there', async (t) => {
  const config = {
    chart_type: 'xy',
    kind: 'bar',
    x: { name: 'segment' },
    y: [{ name: 'customer_id', aggregate: 'COUNT' }],
  };
  const before = (await result('list_charts')).total_count;
  t.match(await result('generate_chart', { dataset_id: 1, config }), { saved: false, chart: null });
  t.equal((await result('list_charts')).total_count, before);
  const { chart } = await result('generate_chart', { dataset_id: 1, config, save_chart: true, chart_name: 'Segments' });
  t.match(await result('get_chart_info', { identifier: chart.id }), { slice_name: 'Segments', form_data: config });
  const table = { chart_type: 'table', columns: [{ name: 'segment' }] };
  await result('update_chart', { identifier: chart.id, chart_name: 'Customers', config: table });
  t.match(await result('get_chart_info', { identifier: chart.id }), { slice_name: 'Customers', viz_type: 'table' });
  const { dashboard } = await result('generate_dashboard', { chart_ids: [chart.id], dashboard_title: 'Mine' });
  await result('add_chart_to_existing_dashboard', { dashboard_id: dashboard.id, chart_id: 1 });
  t.equal((await result('get_dashboard_info', { identifier: dashboard.id })).charts.length, 2);
  const text = 'SELECT country, sum(revenue) AS total FROM orders GROUP BY country';
  const dataset = await result('create_virtual_dataset', { database_id: 1, sql: `${text};`, dataset_name: 'totals' });
  t.match(dataset.columns, [{ column_name: 'country' }, { column_name: 'total', type: 'REAL' }]);
  const virtual = { chart_type: 'table', columns: [{ name: 'total', aggregate: 'MAX' }] };
  t.match(await result('generate_chart', { dataset_id: dataset.id, config: virtual }), {
    previews: { table: { row_count: 1 } },
  });
  t.match(await result('save_sql_query', { database_id: 1, label: 'Totals', sql: text }), { id: 1, label: 'Totals' });
  t.match(await result('open_sql_lab_with_context', { database_connection_id: 1, sql: text }), { database_id: 1 });
  t.match(await result('generate_explore_link', { dataset_id: 1, config }), { url: /form_data=/ });
  t.match(await result('get_database_info', { identifier: 1 }), { tables: ['customers', 'orders'] });
});

t.test('names in a chart configuration cannot carry SQL', async (t) => {
  const attack = (name: string) => ({ chart_type: 'table', columns: [{ name }] });
  for (const name of ['segment" FROM customers; DROP TABLE customers --', 'sqlite_version()', '"']) {
    t.match(await call('generate_chart', { dataset_id: 1, config: attack(name) }), {
      isError: true,
      text: /is not in the dataset/,
    });
  }
  const filters = [{ column: 'segment', op: '=', value: "' OR 1=1 --" }];
  const config = { chart_type: 'table', columns: [{ name: 'segment' }], filters };
  t.match(await result('generate_chart', { dataset_id: 1, config }), { previews: { table: { row_count: 0 } } });
});

t.test('execute_sql reads, streams messages and progress before its result, and stops at the limit', async (t) => {
  messages.length = 0;
  const progress: number[] = [];
  const request = { database_id: 1, sql: 'SELECT country, revenue FROM orders ORDER BY order_id', limit: 7 };
  const answer = (await client.callTool({ name: 'execute_sql', arguments: { request } }, CallToolResultSchema, {
    onprogress: (update) => progress.push(update.progress),
  })) as CallToolResult;
  const [content] = answer.content;
  const body = JSON.parse(content?.type === 'text' ? content.text : '');
  t.match(body, { success: true, row_count: 7, truncated: true, columns: [{ name: 'country' }, { name: 'revenue' }] });
  t.same(progress, [0, 1, 2]);
  t.match(messages, [/^Starting SQL/, /rows_returned=7/]);
  t.match(await result('execute_sql', { ...request, dry_run: true }), { dry_run: true });
  for (const limit of [0, 10_001, 1.5]) t.match(await call('execute_sql', { ...request, limit }), { isError: true });
  t.match(await sql('SELECT absent FROM orders'), { isError: true, text: /no such column/ });
  t.match(await call('execute_sql', { ...request, database_id: 2 }), { isError: true, text: 'Database not found: 2' });
});

t.test('execute_sql refuses everything that is not one reading statement', async (t) => {
  const attacks = [
    'INSERT INTO customers VALUES (1, 2, 3, 4, 5)',
    'UPDATE orders SET revenue = 0',
    'DELETE FROM orders',
    'REPLACE INTO orders SELECT * FROM orders',
    'DROP TABLE orders',
    'CREATE TABLE t (a)',
    'CREATE TEMP TABLE t (a)',
    'ALTER TABLE orders RENAME TO o',
    'PRAGMA query_only = OFF',
    'PRAGMA writable_schema = 1',
    "ATTACH DATABASE '/tmp/x.db' AS x",
    'DETACH DATABASE main',
    "VACUUM INTO '/tmp/x.db'",
    'REINDEX',
    'ANALYZE',
    'BEGIN',
    'SAVEPOINT s',
    'EXPLAIN DELETE FROM orders',
    'WITH x AS (SELECT 1) DELETE FROM orders',
    'WITH x(a) AS (VALUES (1)) INSERT INTO customers SELECT a, a, a, a, a FROM x',
    'WITH x AS (SELECT 1) UPDATE orders SET revenue = 0',
    'SELECT 1; DELETE FROM orders',
    'SELECT 1;;SELECT 2',
    'SELECT 1; -- \n DROP TABLE orders',
    'SELECT 1 /* ; */; DROP TABLE orders',
    '/* SELECT */ DELETE FROM orders',
    '-- SELECT\nDELETE FROM orders',
    'SELECT 1\0; DROP TABLE orders',
    "SELECT 'unterminated",
    'SELECT 1 /* unterminated',
    "SELECT load_extension('/tmp/x.so')",
    `SELECT "load_extension" ('/tmp/x.so')`,
    'SELECT zeroblob(900000000)',
    'SELECT length(randomblob (900000000))',
    '',
    ';',
    '-- nothing',
  ];
  for (const attack of attacks) t.match(await sql(attack), { isError: true }, JSON.stringify(attack));
  t.match((await result('execute_sql', { database_id: 1, sql: 'SELECT count(*) AS n FROM orders' })).rows, [
    { n: 480 },
  ]);
});

t.test('reading statements of all kinds are allowed', async (t) => {
  const allowed = [
    'SELECT 1',
    ' -- comment\n select 1 ; -- the end',
    "SELECT ';' AS a, 'it''s' AS b, \"region\" FROM orders LIMIT 1",
    'WITH x AS (SELECT region FROM orders) SELECT DISTINCT region FROM x',
    'VALUES (1), (2)',
    "SELECT replace(region, 'A', 'B') FROM orders LIMIT 1",
    'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT sum(i) FROM n',
  ];
  for (const text of allowed) t.match(await sql(text), { isError: false }, text);
});

t.test('a query that does not end is ended at its timeout, and the next one works', async (t) => {
  const endless = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n';
  t.same(await sql(endless, { timeout: 1 }), { isError: true, text: 'query timed out after 1 seconds' });
  t.match(await sql('SELECT 1'), { isError: false });
});

t.test('tools are found by words, and called by their names', async (t) => {
  const use = async (name: string, args: Record<string, unknown>) =>
    (await client.callTool({ name, arguments: args })) as CallToolResult;
  const textOf = ({ content: [first] }: CallToolResult) => (first?.type === 'text' ? first.text : '');
  const found = await use('search_tools', { query: 'Run SQL, query' });
  t.match(JSON.parse(textOf(found))[0], { name: 'execute_sql', parameters_hint: 'request' });
  t.equal(found.structuredContent, undefined, 'the list is in the text, as in Superset');
  t.same(JSON.parse(textOf(await use('search_tools', { query: 'zzz' }))), []);
  const args = { request: { identifier: 1 } };
  const direct = await use('get_dashboard_info', args);
  t.same(await use('call_tool', { name: 'get_dashboard_info', arguments: args }), direct);
  t.match(await use('call_tool', { name: 'health_check' }), { content: [{ text: /healthy/ }] });
  for (const [name, given] of [
    ['call_tool', { name: 'call_tool', arguments: { name: 'health_check' } }],
    ['call_tool', { name: 'nothing' }],
    ['call_tool', { tool: 'health_check' }],
    ['search_tools', {}],
  ] as const) {
    t.match(await use(name, given), { isError: true }, JSON.stringify(given));
  }
});

t.test('wrong arguments and unknown tools are error results, not protocol errors', async (t) => {
  const flat = (await client.callTool({ name: 'get_chart_info', arguments: { identifier: 1 } })) as CallToolResult;
  t.match(flat, { isError: true, content: [{ type: 'text', text: /Invalid arguments/ }] });
  t.match(await call('delete_dashboard', { identifier: 1 }), { isError: true, text: 'Unknown tool: delete_dashboard' });
});

t.test('the identity that the gateway hands over is what the instance calls the current user', async (t) => {
  t.match((await result('get_instance_info')).current_user, {
    username: 'ai_agent_prod',
    scopes: ['dashboards:read', 'queries:execute'],
    authenticated_with: 'oauth',
  });
});

t.test('resources and prompts are there', async (t) => {
  t.equal((await client.listResources()).resources.length, 2);
  const { contents } = await client.readResource({ uri: 'chart://configs' });
  t.match(contents[0], { mimeType: 'application/json', text: /"chart_type": "xy"/ });
  await t.rejects(client.readResource({ uri: 'file:///etc/passwd' }), { code: -32602 });
  t.same(
    (await client.listPrompts()).prompts.map((prompt) => prompt.name),
    ['quickstart', 'create_chart_guided'],
  );
  t.match(await client.getPrompt({ name: 'quickstart' }), { messages: [{ content: { text: /list_dashboards/ } }] });
});

t.test(
  'on the wire: no session, GET is 405, and a call is an event stream whose last frame is the result',
  async (t) => {
    t.equal((await fetch(`${demo.url}/mcp`)).status, 405);
    const response = await fetch(`${demo.url}/mcp`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 7, method: 'tools/call', params: { name: 'list_dashboards' } }),
    });
    t.equal(response.status, 200);
    t.equal(response.headers.get('content-type'), 'text/event-stream');
    t.equal(response.headers.get('mcp-session-id'), null);
    const frames: { id?: number; method?: string }[] = [];
    const parser = createParser({ onEvent: (event) => void (event.data && frames.push(JSON.parse(event.data))) });
    parser.feed(await response.text());
    t.match(frames, [{ method: 'notifications/message' }, { id: 7 }]);
  },
);

t.test('as JSON when asked to be', async (t) => {
  const json = await startDemoSuperset({ jsonResponses: true });
  t.teardown(() => json.close());
  const response = await fetch(`${json.url}/mcp`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'health_check' } }),
  });
  t.match(response.headers.get('content-type'), /^application\/json/);
  t.match(await response.json(), { id: 1, result: { content: [{ type: 'text', text: /"status":"healthy"/ }] } });
});

t.test('the REST side: dashboards, a query, an export', async (t) => {
  const listed = await (await fetch(`${demo.url}/api/dashboards`, { headers: identity })).json();
  t.match(listed, { dashboards: [{ id: 1 }], caller: 'ai_agent_prod' });
  t.match(await (await fetch(`${demo.url}/api/dashboards/regions`)).json(), { id: 2 });
  t.equal((await fetch(`${demo.url}/api/dashboards/77`)).status, 404);
  const post = (path: string, body: string) => fetch(`${demo.url}${path}`, { method: 'POST', body });
  t.match(await (await post('/api/queries', '{"sql":"SELECT 1 AS a"}')).json(), { rows: [{ a: 1 }] });
  for (const body of ['{"sql":"DROP TABLE orders"}', '{}', '{'])
    t.equal((await post('/api/queries', body)).status, 400);
  t.match(await (await post('/api/exports', '{"chart_id":3}')).text(), /^region,COUNT\(order_id\)\r\nAMER,/);
  t.equal(await (await fetch(`${demo.url}/health`)).text(), 'OK');
});

// Last: it holds up the event loop, and meanwhile the server closes the connections that the others use.
t.test('the statement check never throws, and never allows a text with a second statement', (t) => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => void refusalOfSql(text)));
  const piece = fc.constantFrom(' ', ';', "'", '"', '`', '[', ']', '--', '\n', '/*', '*/', 'SELECT', '1', '(', ')');
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const text = `${pieces.join('')}; DROP TABLE orders`;
      const harmless = /--[^\n]*; DROP TABLE orders$/.test(text);
      if (!harmless) t.type(refusalOfSql(text), 'string', JSON.stringify(text));
    }),
  );
  t.end();
});
