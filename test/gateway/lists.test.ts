// Filtered lists over real requests: what is shown can be called, what is not is refused, and no list gets past the filter.
import { once } from 'node:events';
import { type IncomingMessage, request as sendRequest } from 'node:http';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { presetOf } from '../../src/policy/presets.ts';
import { type ClientAnswer, toolCall } from '../support/client.ts';
import { startScenario } from '../support/scenario.ts';
import { type Reply, replyOk } from '../support/upstream.ts';

let reply: Reply = replyOk;
const scenario = await startScenario(
  t,
  {
    upstreams: { superset: { limits: { responseBytes: '64KiB' } } },
    routes: [
      {
        name: 'mcp',
        path: '/mcp',
        mcp: {
          preset: 'superset',
          rules: [
            { deny: { tools: ['delete_*'] } },
            { deny: { tools: ['list_charts'], clients: ['analytics_frontend'] } },
            { deny: { tools: ['save_sql_query'], when: 'size(args) == 0' } },
            {
              allow: { tools: ['execute_sql'] },
              require: {
                scopes: ['queries:execute'],
                when: 'has(args.request) && has(args.request.limit) && args.request.limit <= 1000',
              },
            },
            {
              allow: { tools: ['health_check'] },
              require: { authenticatedBy: ['corp'], when: "request.method == 'POST'" },
            },
          ],
        },
      },
      { name: 'obtainable', path: '/obtainable', mcp: { preset: 'superset', lists: 'obtainable' } },
      {
        name: 'other',
        path: '/other',
        mcp: {
          rules: [
            { allow: { resources: ['db://main/*'], prompts: ['tour'] } },
            { allow: { resources: ['file:*'] }, require: { scopes: ['files:read'] } },
          ],
        },
      },
      { name: 'closed', path: '/closed', mcp: { preset: { name: 'superset', rules: false } } },
    ],
  },
  { reply: (...exchange) => reply(...exchange), logToFile: true },
);
const { anybody: client, bearer, port, recordOf } = scenario;

const callers: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  agent: scenario.agent.headers,
  frontend: scenario.frontend.headers,
  reporting: await bearer({ client_id: 'reporting_tool', scope: 'dashboards:read queries:read exports:create' }),
  nobody: await bearer({ client_id: 'nobody', scope: '' }),
};
const { agent, frontend } = callers as { agent: Record<string, string>; frontend: Record<string, string> };

const metaTools = ['search_tools', 'call_tool'];
const named = new Set(
  presetOf({ preset: { name: 'superset', rules: true } }).rules.flatMap(({ allow }) => allow?.tools ?? []),
);
const inner = [
  ...[...named].filter((name) => !metaTools.includes(name)),
  'delete_dashboard',
  'extensions.acme.leak.rows',
];
const catalogue = [...inner, ...metaTools];
const item = (name: string) => ({ name, description: `the tool ${name}`, inputSchema: { type: 'object' } });
const pageSize = 9;

interface Rpc {
  readonly id: number;
  readonly method: string;
  readonly params?: {
    readonly cursor?: string;
    readonly name?: string;
    readonly arguments?: { readonly query?: string };
  };
}

/** Superset's server as 6.1.0 is: an event stream for every answer, the search in text. */
const serveCatalogue: Reply = (request, response) => {
  const { id, method, params = {} } = JSON.parse(request.body.toString()) as Rpc;
  const found = inner.filter((name) => name.includes(params.arguments?.query ?? ''));
  const start = Number(params.cursor ?? 0);
  const next = start + pageSize < catalogue.length ? { nextCursor: String(start + pageSize) } : {};
  const result =
    method === 'tools/list'
      ? { tools: catalogue.slice(start, start + pageSize).map(item), ...next }
      : {
          content: [{ type: 'text', text: params.name === 'search_tools' ? JSON.stringify(found.map(item)) : 'done' }],
        };
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write('event: message\r\ndata: {"jsonrpc":"2.0","method":"notifications/message","params":{}}\r\n\r\n');
  response.end(`event: message\r\ndata: ${JSON.stringify({ jsonrpc: '2.0', id, result })}\r\n\r\n`);
};

/** The response in an answer, JSON or event stream. */
function responseIn({ text }: ClientAnswer): { result?: Record<string, unknown>; error?: { data: { code: string } } } {
  const data = text.startsWith('{') ? text : text.match(/^data: (.*"id".*)$/m)?.[1];
  return JSON.parse(data ?? '{}');
}

async function listTools(headers: Readonly<Record<string, string>>, path = '/mcp'): Promise<string[]> {
  const names: string[] = [];
  for (let cursor: unknown; ; ) {
    const message = { jsonrpc: '2.0', id: 1, method: 'tools/list', params: cursor === undefined ? {} : { cursor } };
    const { result } = responseIn(await client.post(message, { headers, path }));
    names.push(...(result!.tools as { name: string }[]).map(({ name }) => name));
    cursor = result!.nextCursor;
    if (cursor === undefined) return names;
  }
}

async function searchTools(headers: Readonly<Record<string, string>>, path = '/mcp'): Promise<string[]> {
  const { result } = responseIn(await client.post(toolCall('search_tools', { query: '' }), { headers, path }));
  const [{ text }] = result!.content as [{ text: string }];
  return (JSON.parse(text) as { name: string }[]).map(({ name }) => name);
}

const request = fc.record(
  { format: fc.constantFrom('json', 'csv', 1), limit: fc.constantFrom(1, 1000, 1001, 'x'), identifier: fc.jsonValue() },
  { requiredKeys: [] },
);
const sampledArguments = fc.sample(
  fc.oneof(
    fc.record({ request }),
    fc.record({ request, other: fc.jsonValue() }),
    fc.dictionary(fc.string(), fc.jsonValue()),
  ),
  { numRuns: 3, seed: 3 },
);
/** For every rule of the route there is one that meets its conditions. */
const tried = [{}, { request: { format: 'json', limit: 10 } }, { request: { format: 'csv' } }, ...sampledArguments];

/** Whether each way of calling a tool is allowed for some of the arguments. */
async function callable(
  headers: Readonly<Record<string, string>>,
  name: string,
): Promise<{ direct: boolean; through: boolean }> {
  const allowed = async (message: object) => {
    const answer = await client.post(message, { headers });
    return answer.status === 200 && responseIn(answer).error === undefined;
  };
  let [direct, through] = [false, false];
  for (const args of tried) {
    direct ||= await allowed(toolCall(name, args));
    through ||= await allowed(toolCall('call_tool', { name, arguments: args }));
  }
  return { direct, through };
}

t.test('list, search and call agree for every tool of the catalogue and every principal', async (t) => {
  reply = serveCatalogue;
  const seen = new Map<string, string>();
  for (const [who, headers] of Object.entries(callers)) {
    const listed = await listTools(headers);
    const found = await searchTools(headers);
    seen.set(who, listed.join(' '));
    t.same(
      found,
      inner.filter((name) => listed.includes(name)),
      `${who}: the search finds what the list shows`,
    );
    for (const name of inner) {
      const { direct, through } = await callable(headers, name);
      t.equal(
        direct,
        listed.includes(name),
        `${who}: ${name} is ${direct ? 'listed and callable' : 'neither listed nor callable'}`,
      );
      t.equal(through, found.includes(name), `${who}: ${name} through call_tool`);
    }
    t.ok(
      metaTools.every((name) => listed.includes(name)),
      `${who}: something is reached through the meta-tools`,
    );
  }
  t.equal(new Set(seen.values()).size, 4, 'no two principals see the same');
  t.match(seen.get('agent'), /execute_sql/);
  t.match(seen.get('frontend'), /^health_check get_instance_info/);
  t.notMatch(seen.get('frontend'), /execute_sql|list_charts /);
  t.equal(seen.get('nobody'), 'health_check search_tools call_tool');
  t.same(await listTools(agent, '/closed'), [], 'a route without rules shows nothing, its meta-tools neither');
});

t.test('obtainable lists also what more scope would allow, and the call then says which scope', async (t) => {
  reply = serveCatalogue;
  const nobody = callers.nobody!;
  const shown = await listTools(nobody, '/obtainable');
  t.same(
    shown,
    catalogue.filter((name) => named.has(name) || name === 'call_tool'),
  );
  t.same(
    await searchTools(nobody, '/obtainable'),
    shown.filter((name) => !metaTools.includes(name)),
  );
  const answer = await client.post(toolCall('execute_sql', { request: {} }), { headers: nobody, path: '/obtainable' });
  t.equal(answer.status, 403);
  t.match(answer.headers['www-authenticate'], /error="insufficient_scope".*scope="queries:execute"/);
});

const json =
  (body: string, headers: Record<string, string> = {}, status = 200): Reply =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(body);
  };
const list = (method: string, path = '/mcp') =>
  client.post({ jsonrpc: '2.0', id: 1, method }, { headers: frontend, path });

t.test('resources, templates and prompts are filtered by their rules', async (t) => {
  const uris = ['db://main/a', 'db://main/../b', 'db://other/a', 'file:///etc/x'];
  const cases: [string, string, string, string[], string[]][] = [
    ['resources/list', 'resources', 'uri', uris, ['db://main/a']],
    [
      'resources/templates/list',
      'resourceTemplates',
      'uriTemplate',
      ['db://{schema}/a', 'db://main/{t}', 'db://other/{t}', 'db://main/../{t}', 'file://{+path}', 'x:{y}', 'db://{'],
      ['db://{schema}/a', 'db://main/{t}'],
    ],
    ['prompts/list', 'prompts', 'name', ['tour', 'Tour', 'secret'], ['tour']],
  ];
  for (const [method, member, key, names, expected] of cases) {
    reply = json(
      JSON.stringify({ jsonrpc: '2.0', id: 1, result: { [member]: names.map((name) => ({ [key]: name })) } }),
    );
    const { result } = responseIn(await list(method, '/other'));
    t.same(result, { [member]: expected.map((name) => ({ [key]: name })) }, method);
  }
});

t.test('a page keeps its bytes, its cursor and its status, and is for this caller only', async (t) => {
  const kept = '{"name": "get_schema", "x-mcp-header":"R\\u00e9gion", "n":12345678901234567890}';
  const page = (tools: string, scope: string) =>
    `{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","tools":${tools},"nextCursor":"2","ttlMs":300000,"cacheScope":"${scope}"}}`;
  reply = json(page(`[${kept},{"name":"execute_sql"}]`, 'public'), {
    'cache-control': 'public, max-age=300',
    etag: '"all"',
    'last-modified': 'Mon, 01 Jun 2026 00:00:00 GMT',
    'x-kept': 'yes',
  });
  const answer = await list('tools/list');
  const expected = page(`[${kept}]`, 'private');
  t.equal(answer.text, expected);
  t.match(answer.headers, {
    'content-length': String(Buffer.byteLength(expected)),
    'cache-control': 'private, no-store, no-transform',
    'x-kept': 'yes',
  });
  t.notOk(answer.headers.etag ?? answer.headers['last-modified']);
  t.match(await recordOf(answer), {
    status: 200,
    outcome: 'completed',
    bytes: Buffer.byteLength(expected),
    mcp: { method: 'tools/list' },
  });
  const error = '{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no tools here"}}';
  for (const status of [200, 400, 404]) {
    reply = json(error, {}, status);
    t.match(await list('tools/list'), { status, text: error }, 'an error of the upstream passes');
  }
  reply = (_request, response) => void response.writeHead(503, { 'content-type': 'text/html' }).end('<p>later</p>');
  t.match(await list('tools/list'), { status: 503, text: '<p>later</p>' });
});

/** A request whose answer is read piece by piece. */
async function stream(
  method: 'GET' | 'POST',
  body?: object,
): Promise<{ head: IncomingMessage; next: () => Promise<string> }> {
  const outgoing = sendRequest({
    host: '127.0.0.1',
    port,
    path: '/mcp',
    method,
    agent: false,
    headers: { host: 'mcp.example.com', accept: 'text/event-stream', 'content-type': 'application/json', ...frontend },
  });
  outgoing.end(body && JSON.stringify(body));
  const [head] = (await once(outgoing, 'response')) as [IncomingMessage];
  return { head, next: async () => String((await once(head, 'data'))[0]) };
}

const listed = (tools: string[], id: number | string = 1) =>
  JSON.stringify({ jsonrpc: '2.0', id, result: { tools: tools.map((name) => ({ name })) } });

t.test('in an event stream only lists are changed, and nothing else waits for them', async (t) => {
  const steps = new EventTarget();
  const before =
    ': open\n\nid: 1\nretry: 500\ndata:\n\nevent: message\nid: 2\ndata: {"jsonrpc":"2.0",\ndata: "method":"notifications/message"}\n\n';
  reply = async (_request, response) => {
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
    });
    response.write(before);
    await once(steps, 'list');
    response.write(`id: 3\ndata: ${listed(['get_schema', 'execute_sql']).slice(0, 40)}`);
    await once(steps, 'rest');
    response.end(
      `${listed(['get_schema', 'execute_sql']).slice(40)}\n: kept\n\ndata: ${listed(['execute_sql'], 'other')}\n\n: bye\n`,
    );
  };
  const { head, next } = await stream('POST', { jsonrpc: '2.0', id: 1, method: 'tools/list' });
  t.match(head.headers, { 'cache-control': 'private, no-store, no-transform', 'x-accel-buffering': 'no' });
  t.equal(await next(), before, 'what comes before the list is there at once, to the byte');
  steps.dispatchEvent(new Event('list'));
  t.equal(await next(), 'id: 3\n', 'the list waits for its end');
  steps.dispatchEvent(new Event('rest'));
  let rest = '';
  for await (const chunk of head) rest += chunk;
  t.equal(rest, `data: ${listed(['get_schema'])}\n: kept\n\ndata: ${listed([], 'other')}\n\n: bye\n`);
});

t.test('a stream that answers a GET is read too: a list may be taken up there', async (t) => {
  const other = 'data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n\n';
  reply = (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(`${other}id: 7\ndata: ${listed(['execute_sql', 'get_schema'])}\n\n`);
  };
  const { head } = await stream('GET');
  let text = '';
  for await (const chunk of head) text += chunk;
  t.equal(text, `${other}id: 7\ndata: ${listed(['get_schema'])}\n\n`);
});

const secret = 'execute_sql';
const unreadable: Record<string, Reply> = {
  'no JSON': json(`tools: ${secret}`),
  'no list': json(`{"jsonrpc":"2.0","id":1,"result":{"items":["${secret}"]}}`),
  'the list twice': json(`{"jsonrpc":"2.0","id":1,"result":{"tools":[],"tools":[{"name":"${secret}"}]}}`),
  'an item without a name': json(`{"jsonrpc":"2.0","id":1,"result":{"tools":[{"title":"${secret}"}]}}`),
  'a compressed body': json(listed([secret]), { 'content-encoding': 'gzip' }),
  'another type': json(listed([secret]), { 'content-type': 'text/plain' }),
  'too large a body': (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(listed([secret, 'x'.repeat(65_536)]));
  },
};

t.test('a list that cannot be read is not shown: 502, and the record says so', async (t) => {
  for (const [sentence, answers] of Object.entries(unreadable)) {
    reply = answers;
    const answer = await list('tools/list');
    t.equal(answer.status, 502, sentence);
    t.match(responseIn(answer), { error: { data: { code: 'bad_upstream' } } }, sentence);
    t.notMatch(answer.text, new RegExp(secret), sentence);
    const record = await recordOf(answer);
    t.match(record, { status: 502, outcome: 'failed', reason: 'bad_upstream' }, sentence);
  }
});

t.test('a list that cannot be read in a stream that has begun ends it, not cleanly', async (t) => {
  const bad = [
    `{"result":{"tools":[],"tools":[{"name":"${secret}"}]}}`,
    `{"result":{"Tools":[{"name":"${secret}"}]}}`,
    `{${secret}`,
  ];
  for (const method of ['POST', 'GET'] as const) {
    for (const text of [...bad, 'x{'.repeat(40_000)]) {
      const opened = Promise.withResolvers<void>();
      reply = async (_request, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write(': open\n\n');
        await opened.promise;
        response.write(`data: ${text}\n\n`);
      };
      const message = { jsonrpc: '2.0', id: 1, method: 'tools/list' };
      const { head, next } = await stream(method, method === 'POST' ? message : undefined);
      t.equal(await next(), ': open\n\n');
      let more = '';
      head.on('data', (chunk) => {
        more += chunk;
      });
      opened.resolve();
      await t.rejects(once(head, 'end'), { code: 'ECONNRESET' });
      t.equal(more, '');
      t.match(await recordOf({ id: String(head.headers['x-request-id']) }), {
        outcome: 'failed',
      });
    }
  }
});

async function search(content: object): Promise<ClientAnswer> {
  reply = json(JSON.stringify({ jsonrpc: '2.0', id: 1, result: content }));
  return client.post(toolCall('search_tools', { query: 'sql' }), { headers: frontend });
}

t.test('a search shows what may be called, in the structured result and in the text, or a tool error', async (t) => {
  const all = [item('get_schema'), item(secret)];
  const left = [item('get_schema')];
  const both = await search({
    content: [{ type: 'text', text: JSON.stringify(all) }],
    structuredContent: { result: all },
  });
  t.same(responseIn(both).result, {
    content: [{ type: 'text', text: JSON.stringify(left) }],
    structuredContent: { result: left },
  });
  t.equal(both.headers['cache-control'], 'private, no-store, no-transform');
  const prose = await search({ content: [{ type: 'text', text: `I found ${secret}` }] });
  t.equal(prose.status, 200);
  t.match(responseIn(prose).result, { isError: true, content: [{ text: /Call a tool by its name/ }] });
  t.notMatch(prose.text, new RegExp(secret));
  t.match(await scenario.log(), new RegExp(`${prose.id}.*search could not be read`));
});

t.test('the events of a search have no ids, so that no GET can bring its result past the filter', async (t) => {
  reply = (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const result = { content: [{ type: 'text', text: JSON.stringify([item('get_schema'), item(secret)]) }] };
    response.end(`id: s_1\nretry: 5\ndata:\n\nid: s_2\ndata: ${JSON.stringify({ jsonrpc: '2.0', id: 1, result })}\n\n`);
  };
  const { text } = await client.post(toolCall('search_tools', {}), { headers: frontend });
  t.notMatch(text, /s_[12]/);
  t.match(text, /^:\nretry: 5\ndata:\n\n:\ndata: \{.*get_schema/);
  t.notMatch(text, new RegExp(secret));
});

t.test('the answers of other calls pass as they came', async (t: Test) => {
  const body = `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"${secret}"}],"tools":1,"content":[]}} `;
  reply = json(body, { etag: '"a"', 'cache-control': 'max-age=5' });
  const answer = await client.post(toolCall('get_schema'), { headers: frontend });
  t.match(answer, { status: 200, text: body, headers: { etag: '"a"', 'cache-control': 'max-age=5' } });
});
