// Rules over real requests: tools, scopes and arguments, the form of a denial, and what the upstream sees.

import { createHash, randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { type ClientAnswer, type ClientRequest, toolCall } from '../support/client.ts';
import { apiKey, keyEntry } from '../support/configuration.ts';
import { dpopChallenge } from '../support/dpop.ts';
import type { AuditRecord } from '../support/gateway.ts';
import { startScenario } from '../support/scenario.ts';

const sha256 = (content: string | Buffer) => createHash('sha256').update(content).digest('hex');
/** What a call, and what each list, may be answered with. */
const result =
  '{"jsonrpc":"2.0","id":1,"result":{"content":[],"tools":[],"resources":[],"resourceTemplates":[],"prompts":[]}}';
const rules = [
  { name: 'no-deletes', deny: { tools: ['delete_*'] } },
  { name: 'not-reporting', deny: { tools: ['list_charts'], clients: ['corp/reporting_tool'] } },
  {
    name: 'dashboards',
    allow: { tools: ['list_dashboards', 'list_charts'] },
    require: { scopes: ['dashboards:read'] },
  },
  {
    name: 'sql',
    allow: { tools: ['execute_sql'] },
    require: {
      scopes: ['queries:execute'],
      when: 'has(args.request) && has(args.request.limit) && args.request.limit <= 1000',
    },
  },
  { name: 'unguarded', allow: { tools: ['query_dataset'], when: 'args.request.limit <= 10' } },
  {
    name: 'exports',
    allow: { tools: ['export_dashboard'] },
    require: { scopes: ['dashboards:read', 'exports:create', 'dashboards:write'] },
  },
  { name: 'either', allow: { tools: ['get_chart_data'] }, require: { anyScope: ['exports:create', 'queries:read'] } },
  { name: 'keys-only', allow: { tools: ['health_check'] }, require: { authenticatedBy: ['keys'] } },
  { name: 'metadata', allow: { resources: ['instance://*'] }, require: { scopes: ['dashboards:read'] } },
  { name: 'tour', allow: { prompts: ['quickstart'] } },
  { name: 'elicitation', allow: { methods: ['elicitation/create'] } },
];
const mcpRoute = (name: string, more: object) => ({
  name,
  path: `/${name}`,
  authenticate: { anyOf: ['corp', 'keys'] },
  mcp: { challengeScopes: ['dashboards:read'], ...more, rules },
});
const scenario = await startScenario(
  t,
  {
    authenticators: { keys: { keys: [keyEntry('k1', apiKey, { scopes: ['dashboards:read'] })] } },
    routes: [
      mcpRoute('mcp', {
        audit: { arguments: { execute_sql: ['/request/limit', '/request/none', '/request/tags/0'] } },
      }),
      mcpRoute('http', { denials: 'http' }),
      mcpRoute('full', { audit: { arguments: 'full' } }),
      mcpRoute('silent', { audit: { arguments: 'none' } }),
      { name: 'dashboards', path: '/api/dashboards/*', methods: ['GET'], scopes: ['dashboards:read'] },
      {
        name: 'api',
        path: '/api/*',
        methods: ['GET', 'POST'],
        rules: [
          { name: 'no-admin', deny: { paths: ['/api/admin/*'] } },
          {
            name: 'queries',
            allow: { methods: ['POST'], paths: ['/api/queries'] },
            require: { scopes: ['queries:execute'] },
          },
          {
            name: 'reads',
            allow: { methods: ['GET'], when: "!request.path.contains('secret')" },
            require: { scopes: ['dashboards:read'] },
          },
        ],
      },
      { name: 'keyed', path: '/keyed', authenticate: 'keys' },
      { name: 'health', path: '/health', authenticate: 'none', respond: { status: 200, json: { status: 'healthy' } } },
      { name: 'gone', path: '/gone', authenticate: 'none', respond: { status: 410, text: 'moved away' } },
    ],
  },
  {
    reply(request, response) {
      response.writeHead(200, { 'content-type': 'application/json', 'x-seen': request.method });
      response.end(request.method === 'HEAD' ? undefined : result);
    },
  },
);
const { anybody: client, issuer, recordOf, upstream } = scenario;

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const agent = scenario.agent.headers;
const reader = scenario.frontend.headers;
const nobody = await scenario.bearer({ scope: '' });
const legacy = { 'x-api-key': apiKey };

interface Denial {
  readonly status: number;
  readonly code: string;
  readonly challenge?: string;
  /** What the body names as missing where the challenge names more. */
  readonly missing?: readonly string[];
  /** What else the record says. */
  readonly record?: object;
  /** The JSON-RPC id of the answer; undefined where it is problem+json. */
  readonly id?: unknown;
}

const metadataUrl = (path: string) => `https://mcp.example.com/.well-known/oauth-protected-resource${path}`;

/** A denial for want of scope says in the body what the challenge says, without what is there already. */
function missingScopes({ challenge, missing }: Denial): { scopes?: readonly string[] } {
  if (missing !== undefined) return { scopes: missing };
  const scope = /^Bearer error="insufficient_scope", scope="([^"]*)"/.exec(challenge ?? '')?.[1];
  return scope === undefined ? {} : { scopes: scope.split(' ') };
}

/** Without the id of the record, and that of the JSON-RPC request. */
const withoutIds = ({ text, id }: ClientAnswer) => text.replace(id, '').replace(/"id":[^,]*,/, '');

/** Sends it and asserts everything that a denial is. */
async function denied(t: Test, name: string, send: () => Promise<ClientAnswer>, denial: Denial): Promise<ClientAnswer> {
  const before = upstream.requests.length;
  const answer = await send();
  t.equal(answer.status, denial.status, `${name}: status`);
  const body = JSON.parse(answer.text);
  if ('id' in denial) {
    t.equal(answer.headers['content-type'], 'application/json', `${name}: JSON-RPC`);
    const standsFor = denial.status === 200 ? 403 : denial.status;
    const { message } = body.error;
    t.same(body, {
      jsonrpc: '2.0',
      id: denial.id,
      error: { code: standsFor, message, data: { code: denial.code, ...missingScopes(denial), requestId: answer.id } },
    });
    t.match(message, /^[A-Z`].{10,}\.$/, `${name}: a sentence that a model can read`);
  } else {
    t.equal(answer.headers['content-type'], 'application/problem+json', `${name}: problem`);
    t.equal(body.code, denial.code, `${name}: code`);
    t.equal(body.status, denial.status);
    t.equal(body.requestId, answer.id);
  }
  t.equal(answer.headers['www-authenticate'], denial.challenge, `${name}: challenge`);
  t.equal(answer.headers['cache-control'], 'no-store');
  t.equal(upstream.requests.length, before, `${name}: the upstream saw nothing`);
  const records = (await scenario.records()).filter(({ id }) => id === answer.id);
  t.equal(records.length, 1, `${name}: one record`);
  t.match(records[0], {
    stage: 'completed',
    decision: 'deny',
    outcome: 'refused',
    reason: denial.code,
    status: denial.status,
    ...denial.record,
  });
  return answer;
}

/** Sends it and asserts that the upstream got these bytes and nothing of the caller's credential. */
async function allowed(
  t: Test,
  name: string,
  send: () => Promise<ClientAnswer>,
  record: object,
  body?: string | Buffer,
): Promise<AuditRecord> {
  const before = upstream.requests.length;
  const answer = await send();
  t.equal(answer.status, 200, `${name}: status`);
  t.equal(upstream.requests.length, before + 1, `${name}: forwarded once`);
  const seen = upstream.requests.at(-1)!;
  t.same(seen.header('x-request-id'), [answer.id]);
  t.same([seen.header('authorization'), seen.header('x-api-key')], [[], []], `${name}: no credential passed on`);
  if (body !== undefined) t.equal(sha256(seen.body), sha256(body), `${name}: the same bytes`);
  const completed = await recordOf(answer);
  const stages = (await scenario.records()).filter(({ id }) => id === answer.id);
  t.same(
    stages.map(({ stage }) => stage),
    ['decided', 'completed'],
  );
  for (const each of stages) t.match(each, { decision: 'allow', ...record });
  t.match(completed, { outcome: 'completed', status: 200, upstream: { name: 'superset', status: 200 } });
  return completed;
}

const call =
  (name: string, args: unknown, headers: Record<string, string>, path = '/mcp') =>
  () =>
    client.post(toolCall(name, args, 7), { path, headers });
const message = (method: string, params?: object) => ({ jsonrpc: '2.0', id: 'm', method, ...(params && { params }) });

t.test('a call that a rule allows reaches the upstream as it was sent', async (t) => {
  const body = JSON.stringify(toolCall('list_dashboards', { request: { page: 1 } }));
  const record = await allowed(
    t,
    'list_dashboards',
    () => client.post(body, { headers: { ...reader, 'mcp-protocol-version': '2025-11-25', 'x-other': 'no' } }),
    {
      route: 'mcp',
      rule: 'dashboards',
      principal: { kind: 'oauth', issuer: issuer.issuer, subject: 'frontend', clientId: 'analytics_frontend' },
      mcp: { method: 'tools/call', tool: 'list_dashboards' },
      scopes: { granted: ['dashboards:read'], required: ['dashboards:read'], missing: [] },
    },
    body,
  );
  t.equal(record.bytes, Buffer.byteLength(result));
  const seen = upstream.requests.at(-1)!;
  t.same([seen.method, seen.url], ['POST', '/mcp']);
  t.same(seen.header('mcp-protocol-version'), ['2025-11-25']);
  t.same(seen.header('accept'), ['application/json, text/event-stream']);
  t.same(seen.header('x-other'), [], 'what MCP does not define stays here');
  t.match(
    await scenario.metrics(),
    'portcullis_tool_calls_total{route="mcp",tool="list_dashboards",outcome="completed"} 1\n',
  );
});

t.test('a denied call is an error that a model can read, or 403 under denials: http', async (t) => {
  const record = { rule: 'no-deletes', mcp: { method: 'tools/call', tool: 'delete_dashboard' } };
  await denied(t, 'rpc', call('delete_dashboard', {}, agent), { status: 200, code: 'denied', id: 7, record });
  await denied(t, 'http', call('delete_dashboard', {}, agent, '/http'), { status: 403, code: 'denied', id: 7, record });
  const charts = call('list_charts', {}, await scenario.bearer({ client_id: 'reporting_tool' }));
  await denied(t, 'for this client', charts, { status: 200, code: 'denied', id: 7, record: { rule: 'not-reporting' } });
  await allowed(t, 'for another', call('list_charts', {}, reader), { rule: 'dashboards' });
  await allowed(t, 'the same name under another authenticator', call('list_charts', {}, legacy), {
    rule: 'dashboards',
    principal: { kind: 'api-key', clientId: 'reporting_tool' },
  });
  const metrics = await scenario.metrics();
  t.match(metrics, 'portcullis_decisions_total{route="http",decision="deny",reason="denied"} 1\n');
  t.match(metrics, 'portcullis_requests_total{route="mcp",outcome="refused",status="200"} 2\n');
});

t.test('missing scopes are named in the challenge, all of them, whatever denials says', async (t) => {
  for (const path of ['/mcp', '/http']) {
    const challenge = (scope: string) =>
      `Bearer error="insufficient_scope", scope="${scope}", resource_metadata="${metadataUrl(path)}"`;
    const sql = call('execute_sql', { request: { limit: 5 } }, reader, path);
    await denied(t, 'one', sql, {
      status: 403,
      code: 'insufficient_scope',
      id: 7,
      challenge: challenge('queries:execute'),
      record: {
        rule: 'sql',
        scopes: { granted: ['dashboards:read'], required: ['queries:execute'], missing: ['queries:execute'] },
      },
    });
    await denied(t, 'all that the call takes, one of which is there', call('export_dashboard', {}, agent, path), {
      status: 403,
      code: 'insufficient_scope',
      id: 7,
      challenge: challenge('dashboards:read exports:create dashboards:write'),
      missing: ['exports:create', 'dashboards:write'],
      record: { scopes: { missing: ['exports:create', 'dashboards:write'] } },
    });
    await denied(t, 'all', call('export_dashboard', {}, nobody, path), {
      status: 403,
      code: 'insufficient_scope',
      id: 7,
      challenge: challenge('dashboards:read exports:create dashboards:write'),
    });
    await denied(t, 'the first of anyScope', call('get_chart_data', {}, agent, path), {
      status: 403,
      code: 'insufficient_scope',
      id: 7,
      challenge: challenge('exports:create'),
    });
  }
  const second = await scenario.bearer({ scope: 'queries:read' });
  await allowed(t, 'another of anyScope', call('get_chart_data', {}, second), { rule: 'either' });
});

t.test('arguments are judged: a demand that is unmet denies, a condition that fails denies too', async (t) => {
  const sql = (request: object) => call('execute_sql', { request }, agent);
  await allowed(t, 'within the limit', sql({ sql: 'SELECT 1', limit: 1000 }), { rule: 'sql' });
  const denial = { status: 200, code: 'denied', id: 7, record: { rule: 'sql' } };
  await denied(t, 'beyond it', sql({ sql: 'SELECT 1', limit: 1001 }), denial);
  await denied(t, 'without it', sql({ sql: 'SELECT 1' }), denial);
  await denied(t, 'no arguments', call('execute_sql', undefined, agent), denial);
  const noScope = call('execute_sql', { request: { limit: 5000 } }, reader);
  await denied(t, 'a scope would not help', noScope, denial);
  const failing = { status: 200, code: 'condition_error', id: 7, record: { rule: 'unguarded' } };
  await denied(t, 'a field that is not there', call('query_dataset', {}, agent), failing);
  await denied(t, 'of another type', call('query_dataset', { request: { limit: 'many' } }, agent), failing);
  await denied(t, 'and as status', call('query_dataset', {}, agent, '/http'), { ...failing, status: 403 });
  await denied(
    t,
    'a selector that is false selects nothing',
    call('query_dataset', { request: { limit: 11 } }, agent),
    {
      status: 200,
      code: 'denied',
      id: 7,
      record: { rule: undefined },
    },
  );
  await allowed(t, 'one that is true', call('query_dataset', { request: { limit: 10 } }, agent), { rule: 'unguarded' });
  t.match(await scenario.metrics(), 'portcullis_condition_errors_total{route="mcp",rule="unguarded"} 2\n');
});

t.test('a rule can demand the authenticator', async (t) => {
  await allowed(t, 'a key', call('health_check', {}, legacy), { rule: 'keys-only', principal: { kind: 'api-key' } });
  await denied(t, 'a token', call('health_check', {}, agent), { status: 200, code: 'denied', id: 7 });
});

t.test('J10: what no rule names is denied, by tool and by method', async (t) => {
  const noRule = { rule: undefined };
  for (const name of [
    'drop_everything',
    'List_dashboards',
    'list_dashboards ',
    'list_dashboards\u0000',
    'lіst_dashboards',
    '',
    '*',
  ])
    await denied(t, JSON.stringify(name), call(name, {}, agent), {
      status: 200,
      code: 'denied',
      id: 7,
      record: noRule,
    });
  t.match(await scenario.metrics(), 'portcullis_tool_calls_total{route="mcp",tool="other",outcome="refused"}');
  const methods: [string, object?][] = [
    ['tools/delete'],
    ['Tools/list'],
    ['sampling/createMessage'],
    ['roots/list'],
    ['resources/read', { uri: 'chart://configs' }],
    ['resources/read', { uri: 'instance://../chart' }],
    ['resources/subscribe', { uri: 'file:///etc/passwd' }],
    ['prompts/get', { name: 'create_chart_guided' }],
    [
      'completion/complete',
      { ref: { type: 'ref/prompt', name: 'create_chart_guided' }, argument: { name: 'a', value: 'b' } },
    ],
  ];
  for (const [method, params] of methods) {
    const send = () => client.post(message(method, params), { headers: agent });
    await denied(t, method, send, { status: 403, code: 'denied', id: 'm', record: { ...noRule, mcp: { method } } });
  }
  const secret = () => client.post({ jsonrpc: '2.0', method: 'notifications/secret' }, { headers: agent });
  await denied(t, 'a notification', secret, { status: 403, code: 'denied', id: null });
});

t.test('resources, prompts and other methods have rules of their own', async (t) => {
  const send =
    (method: string, params: object, headers = reader) =>
    () =>
      client.post(message(method, params), { headers });
  const uri = 'instance://metadata';
  await allowed(t, 'read', send('resources/read', { uri }), { rule: 'metadata', mcp: { target: uri } });
  await allowed(t, 'subscribe', send('resources/subscribe', { uri }), { rule: 'metadata' });
  await denied(t, 'read without the scope', send('resources/read', { uri }, nobody), {
    status: 403,
    code: 'insufficient_scope',
    id: 'm',
    challenge: `Bearer error="insufficient_scope", scope="dashboards:read", resource_metadata="${metadataUrl('/mcp')}"`,
  });
  await allowed(t, 'prompt', send('prompts/get', { name: 'quickstart' }), {
    rule: 'tour',
    mcp: { target: 'quickstart' },
  });
  await allowed(t, 'method', send('elicitation/create', {}), { rule: 'elicitation' });
});

t.test('what every authenticated caller may send needs no rule and no scope', async (t) => {
  for (const method of [
    'initialize',
    'ping',
    'server/discover',
    'logging/setLevel',
    'tools/list',
    'resources/list',
    'resources/templates/list',
    'prompts/list',
  ])
    await allowed(t, method, () => client.post(message(method), { headers: nobody }), {
      rule: 'open',
      mcp: { method },
    });
  for (const name of ['initialized', 'roots/list_changed']) {
    const body = { jsonrpc: '2.0', method: `notifications/${name}` };
    await allowed(t, name, () => client.post(body, { headers: nobody }), { rule: 'open' });
  }
  for (const method of ['GET', 'DELETE'])
    await allowed(t, method, () => client.send({ method, path: '/mcp', headers: nobody }), {
      rule: 'open',
      http: { method },
    });
  const put = () => client.send({ method: 'PUT', path: '/mcp', headers: agent, body: '{}' });
  const answer = await denied(t, 'PUT', put, { status: 405, code: 'method_not_allowed' });
  t.equal(answer.headers.allow, 'DELETE, GET, HEAD, POST');
});

t.test('J1-J4, J7: a body that two readers could understand in two ways goes nowhere', async (t) => {
  const json = { 'content-type': 'application/json' };
  const good = JSON.stringify(toolCall('list_dashboards'));
  const cases: [string, string | Buffer, string, number?, Record<string, string>?][] = [
    ['a batch', `[${good}]`, 'invalid_jsonrpc'],
    ['an allowed and a denied call', `[${good},${JSON.stringify(toolCall('delete_dashboard'))}]`, 'invalid_jsonrpc'],
    ['the name twice', good.replace('"name"', '"name":"delete_dashboard","name"'), 'invalid_jsonrpc'],
    ['the name twice, escaped', good.replace('"name"', '"n\\u0061me":"delete_dashboard","name"'), 'invalid_jsonrpc'],
    ['the method twice', good.replace('"method"', '"method":"ping","method"'), 'invalid_jsonrpc'],
    ['another case', good.replace('"method"', '"Method":"tools/call","method"'), 'invalid_jsonrpc'],
    ['a folding letter', good.replace('"params"', '"param\u017f":{},"params"'), 'invalid_jsonrpc'],
    ['no id', good.replace('"id":1,', ''), 'invalid_jsonrpc'],
    ['a null id', good.replace('"id":1', '"id":null'), 'invalid_jsonrpc'],
    ['no version', good.replace('"jsonrpc":"2.0",', ''), 'invalid_jsonrpc'],
    ['no name', good.replace('"name":"list_dashboards",', ''), 'invalid_jsonrpc'],
    ['a list of arguments', good.replace('"arguments":{}', '"arguments":[]'), 'invalid_jsonrpc'],
    ['a byte order mark', `\ufeff${good}`, 'invalid_json'],
    ['UTF-16', Buffer.from(good, 'utf16le'), 'invalid_json'],
    [
      'bytes that are no UTF-8',
      Buffer.concat([Buffer.from(good.slice(0, -1)), Buffer.from([0xff, 0x7d])]),
      'invalid_json',
    ],
    ['NaN', good.replace('{}', '{"a":NaN}'), 'invalid_json'],
    ['something behind it', `${good}{}`, 'invalid_json'],
    ['a comment', `/* */${good}`, 'invalid_json'],
    ['nothing', '', 'invalid_json'],
    ['too deep', good.replace('{}', `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`), 'invalid_json'],
    ['too large', good.replace('{}', `{"a":"${'x'.repeat(1 << 20)}"}`), 'body_too_large', 413],
    ['compressed', gzipSync(good), 'unsupported_media_type', 415, { ...json, 'content-encoding': 'gzip' }],
    ['as text', good, 'unsupported_media_type', 415, { 'content-type': 'text/plain' }],
    [
      'in another character set',
      good,
      'unsupported_media_type',
      415,
      { 'content-type': 'application/json; charset=utf-16' },
    ],
    ['of no type', good, 'unsupported_media_type', 415, { 'content-type': '' }],
  ];
  const withoutRequestId = new Set([
    'a batch',
    'an allowed and a denied call',
    'no id',
    'a null id',
    'UTF-16',
    'a comment',
    'nothing',
    'compressed',
  ]);
  for (const [name, body, code, status = 400, headers = {}] of cases) {
    const send = () => client.post(body, { headers: { ...agent, ...headers } });
    const id = withoutRequestId.has(name) ? null : 1;
    await denied(t, name, send, { status, code, id, record: { decision: 'deny', route: 'mcp' } });
  }
});

t.test('J5, J6: valid bodies arrive to the byte, whatever a parser would make of them', async (t) => {
  const bodies = [
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_dashboards","arguments":{"id":12345678901234567890,"ratio":1.0,"tiny":1e-400}}}',
    ' {\r\n\t"params" : {"arguments":{"b":1,"a":2,"__proto__":{"isAdmin":true},"constructor":{}} , "name":"list\\u005fdashboards"},"method":"tools\\/call","id":"\\u00e9","jsonrpc":"2.0" }\n',
    '{"jsonrpc":"2.0","id":9007199254740991,"method":"tools/call","params":{"name":"list_dashboards","_meta":{"progressToken":"p"},"arguments":{"text":"\u00e9\u{1f600}\u2028\\u2028"}}}',
  ];
  for (const body of bodies)
    await allowed(t, body.slice(0, 40), () => client.post(body, { headers: agent }), { rule: 'dashboards' }, body);
  t.equal(({} as { isAdmin?: boolean }).isAdmin, undefined);
  const large = JSON.stringify(
    toolCall('list_dashboards', { request: { text: randomBytes(300_000).toString('base64') } }),
  );
  await allowed(t, 'a large one', () => client.post(large, { headers: agent }), { rule: 'dashboards' }, large);
  const chunked: ClientRequest = { headers: { ...agent, 'transfer-encoding': 'chunked' } };
  await allowed(t, 'in chunks', () => client.post(large, chunked), { rule: 'dashboards' }, large);
});

t.test('the record holds of the arguments what the route says', async (t) => {
  const args = { request: { limit: 5, sql: 'SELECT secret', tags: ['a', 'b'] } };
  const digest = `sha256:${sha256(JSON.stringify(args))}`;
  const argumentsOf = async (path: string, name = 'execute_sql') => {
    const record = await allowed(t, path, call(name, args, agent, path), {});
    return record.mcp?.arguments;
  };
  t.same(await argumentsOf('/mcp'), { '/request/limit': 5, '/request/tags/0': 'a' }, 'pointers, absent ones left out');
  t.equal(await argumentsOf('/mcp', 'list_dashboards'), digest, 'a digest for tools without pointers');
  t.equal(await argumentsOf('/http'), digest, 'a digest by default');
  t.same(await argumentsOf('/full'), args);
  t.equal(await argumentsOf('/silent'), undefined);
  const beyond = call('execute_sql', { request: { limit: 5000 } }, agent, '/full');
  await denied(t, 'of a denied call too', beyond, {
    status: 200,
    code: 'denied',
    id: 7,
    record: { mcp: { arguments: { request: { limit: 5000 } } } },
  });
  const large = { request: { limit: 1, text: 'x'.repeat(70_000) } };
  const record = await allowed(t, 'large', call('execute_sql', large, agent, '/full'), {});
  const text = JSON.stringify(large);
  t.same(record.mcp?.arguments, {
    digest: `sha256:${sha256(text)}`,
    bytes: text.length,
    text: `${text.slice(0, 31 * 1024)}…${text.length}`,
  });
});

t.test('path routes: scopes, methods and rules', async (t) => {
  const get =
    (path: string, headers: Record<string, string>, method = 'GET') =>
    () =>
      client.send({ method, path, headers });
  const dashboards = { route: 'dashboards', rule: 'scopes' };
  for (const path of ['/api/dashboards', '/api/dashboards/', '/api/dashboards/7?page=2&q=a%20b'])
    await allowed(t, path, get(path, reader), { ...dashboards, http: { method: 'GET', path: path.split('?')[0] } });
  t.equal(upstream.requests.at(-1)?.url, '/api/dashboards/7?page=2&q=a%20b', 'path and query as they were sent');
  await allowed(t, 'HEAD follows GET', get('/api/dashboards/7', reader, 'HEAD'), dashboards);
  t.equal(upstream.requests.at(-1)?.method, 'HEAD');
  const challenge = (path: string, scope: string) =>
    `Bearer error="insufficient_scope", scope="${scope}", resource_metadata="${metadataUrl(path)}"`;
  await denied(t, 'without the scope', get('/api/dashboards/7', nobody), {
    status: 403,
    code: 'insufficient_scope',
    challenge: challenge('/api/dashboards', 'dashboards:read'),
    record: { ...dashboards, scopes: { missing: ['dashboards:read'] } },
  });
  const post = (path: string, headers: Record<string, string>) => () =>
    client.send({ method: 'POST', path, headers, body: 'q' });
  await allowed(t, 'a rule by path', post('/api/queries', agent), { route: 'api', rule: 'queries' }, 'q');
  await denied(t, 'without its scope', post('/api/queries', reader), {
    status: 403,
    code: 'insufficient_scope',
    challenge: challenge('/api', 'queries:execute'),
    record: { rule: 'queries' },
  });
  await denied(t, 'a path that no rule names', post('/api/exports', agent), {
    status: 403,
    code: 'denied',
    record: { rule: undefined },
  });
  await denied(t, 'a denied path', get('/api/admin/clients', agent), {
    status: 403,
    code: 'denied',
    record: { rule: 'no-admin' },
  });
  await allowed(t, 'a sibling of it', get('/api/administration', agent), { rule: 'reads' });
  await denied(t, 'a condition on the path', get('/api/secrets', agent), { status: 403, code: 'denied' });
  await denied(t, 'another method falls to the next route', post('/api/dashboards/7', agent), {
    status: 403,
    code: 'denied',
    record: { route: 'api' },
  });
});

t.test('404 and 405 come before credentials; 405 says what is allowed', async (t) => {
  const send =
    (method: string, path: string, headers: Record<string, string> = {}) =>
    () =>
      client.send({ method, path, headers });
  for (const path of ['/nothing', '/mcpx', '/mcp/1', '/MCP', '/health/x', '/apix'])
    await denied(t, path, send('GET', path, agent), { status: 404, code: 'not_found', record: { route: undefined } });
  const put = await denied(t, 'PUT', send('PUT', '/api/dashboards'), { status: 405, code: 'method_not_allowed' });
  t.equal(put.headers.allow, 'GET, HEAD, POST', 'of every route at this path');
  const trace = await denied(t, 'TRACE', send('TRACE', '/mcp', agent), { status: 405, code: 'method_not_allowed' });
  t.equal(trace.headers.allow, 'DELETE, GET, HEAD, POST');
});

t.test('answers of the gateway itself look at no credential and no Host', async (t) => {
  const before = upstream.requests.length;
  for (const headers of [
    {},
    { host: 'anything.example' },
    { authorization: 'Basic nonsense' },
    bearer('not-a-token'),
  ]) {
    const answer = await client.send({ path: '/health', headers });
    t.same([answer.status, answer.text], [200, '{"status":"healthy"}']);
    t.equal(answer.headers['content-type'], 'application/json');
  }
  const head = await client.send({ method: 'HEAD', path: '/health' });
  t.same([head.status, head.text, head.headers['content-length']], [200, '', '20']);
  const gone = await client.send({ path: '/gone' });
  t.same([gone.status, gone.text, gone.headers['content-type']], [410, 'moved away', 'text/plain; charset=utf-8']);
  t.match(await recordOf(gone), {
    route: 'gone',
    decision: 'allow',
    status: 410,
    upstream: undefined,
  });
  t.equal(upstream.requests.length, before);
  const elsewhere = () => client.send({ path: '/api/dashboards', headers: { ...agent, host: 'anything.example' } });
  await denied(t, 'elsewhere the Host counts', elsewhere, { status: 421, code: 'bad_host' });
});

t.test('protected resource metadata stands at the path form and comes from the configuration alone', async (t) => {
  const before = upstream.requests.length;
  for (const headers of [
    {},
    { host: 'evil.example' },
    { 'x-forwarded-host': 'evil.example', origin: 'https://evil.example' },
  ]) {
    const answer = await client.send({ path: '/.well-known/oauth-protected-resource/mcp', headers });
    t.equal(answer.status, 200);
    t.equal(answer.headers['content-type'], 'application/json');
    t.equal(answer.headers['access-control-allow-origin'], '*');
    t.same(JSON.parse(answer.text), {
      resource: 'https://mcp.example.com/mcp',
      authorization_servers: [issuer.issuer],
      scopes_supported: ['dashboards:read'],
      bearer_methods_supported: ['header'],
      dpop_signing_alg_values_supported: ['ES256', 'EdDSA', 'Ed25519', 'PS256', 'RS256'],
    });
  }
  const api = await client.send({ path: '/.well-known/oauth-protected-resource/api/dashboards' });
  t.match(JSON.parse(api.text), {
    resource: 'https://mcp.example.com/api/dashboards',
    scopes_supported: ['dashboards:read'],
  });
  for (const path of ['', '/keyed', '/health', '/nothing']) {
    const send = () => client.send({ path: `/.well-known/oauth-protected-resource${path}` });
    await denied(t, `for ${path || 'the root'}`, send, { status: 404, code: 'not_found' });
  }
  t.equal(upstream.requests.length, before);
});

t.test(
  'the first challenge says where to begin, and the same denial is the same to the byte but for the id of the request',
  async (t) => {
    const challenge = `Bearer scope="dashboards:read", resource_metadata="${metadataUrl('/mcp')}", ${dpopChallenge}`;
    const required = { status: 401, code: 'credentials_required', challenge };
    const bodies = new Set<string>();
    for (const [body, id] of [
      [toolCall('list_dashboards'), 1],
      [toolCall('delete_dashboard'), 1],
      [message('initialize'), 'm'],
    ] as const) {
      const answer = await denied(t, 'nothing presented', () => client.post(body), { ...required, id });
      bodies.add(withoutIds(answer));
    }
    t.equal(bodies.size, 1, 'and what the body asks for does not show');
    const bad = {
      status: 401,
      code: 'invalid_token',
      id: 1,
      challenge: challenge.replace('Bearer', 'Bearer error="invalid_token",'),
    };
    const refused = new Set<string>();
    for (const claims of [
      { exp: 1 },
      { aud: 'https://other.example' },
      { iss: 'https://other.example' },
      { scope: 7 },
    ]) {
      const token = await scenario.token(claims);
      const answer = await denied(
        t,
        Object.keys(claims).join(),
        () => client.post(toolCall('list_dashboards'), { headers: bearer(token) }),
        bad,
      );
      refused.add(withoutIds(answer));
    }
    const noMessage = () => client.post('{}', { headers: bearer('nonsense') });
    const unknown = await denied(t, 'no token at all', noMessage, { ...bad, id: null });
    refused.add(withoutIds(unknown));
    t.equal(refused.size, 1);
    await denied(t, 'where only keys are taken', () => client.send({ path: '/keyed' }), {
      status: 401,
      code: 'credentials_required',
      challenge: 'Bearer realm="https://mcp.example.com/keyed"',
    });
  },
);
