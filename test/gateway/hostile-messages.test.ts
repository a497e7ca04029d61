// Rows J3, J4, J6, J9 and J10 of the threat model against a running gateway: bodies that parsers differ on, strange names, and methods by the dozen.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { assertRefused, attack, post } from '../support/attack.ts';
import { toolCall } from '../support/client.ts';
import { listDashboards } from '../support/configuration.ts';
import { startScenario } from '../support/scenario.ts';

const scenario = await startScenario(t, {
  routes: {
    '/mcp': {
      mcp: {
        metaTools: { call_tool: { name: '/name', arguments: '/arguments' } },
        rules: [listDashboards, { allow: { resources: ['superset://*'] }, require: { scopes: ['dashboards:read'] } }],
      },
    },
  },
});
const { reporting } = scenario;

const mcp = { method: 'POST', path: '/mcp' };
const denied = { status: 403, code: 'denied', http: mcp };
const callWith = (args: string) =>
  `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_dashboards","arguments":${args}}}`;

t.test('J3: what is not strict JSON goes nowhere', async (t) => {
  const bodies: [string, string | Buffer][] = [
    ['a byte order mark', Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from(callWith('{}'))])],
    ['UTF-16 with its mark', Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(callWith('{}'), 'utf16le')])],
    ['UTF-16, big end first', Buffer.from(callWith('{}'), 'utf16le').swap16()],
    [
      'an overlong encoding',
      Buffer.concat([
        Buffer.from(callWith('{"a":"'), 'latin1').subarray(0, -2),
        Buffer.from([0xc0, 0xaf, 0x22, 0x7d, 0x7d, 0x7d]),
      ]),
    ],
    ['an infinite number', callWith('{"a":1e400}')],
    ['Infinity', callWith('{"a":Infinity}')],
    ['a lone high surrogate', callWith('{"a":"\\ud800"}')],
    ['a lone low surrogate in a name', callWith('{"\\udc00":1}')],
    ['a NUL behind it', `${callWith('{}')}\0`],
    ['a second message', `${callWith('{}')}\n${callWith('{}')}`],
    ['a trailing comma', callWith('{"a":1,}')],
    ['single quotes', callWith("{'a':1}")],
    ['a raw line break in a string', callWith('{"a":"\n"}')],
  ];
  for (const [label, body] of bodies) {
    const before = scenario.upstream.requests.length;
    const answer = await reporting.post(body);
    t.equal(answer.status, 400, label);
    const id = label.startsWith('UTF-16') ? null : 1;
    t.match(JSON.parse(answer.text), { id, error: { code: 400, data: { code: 'invalid_json' } } }, label);
    t.equal(scenario.upstream.requests.length, before, `${label}: the upstream saw nothing`);
    const record = await scenario.record(({ id }) => id === answer.id);
    t.match(record, { stage: 'completed', decision: 'deny', reason: 'invalid_json', status: 400, outcome: 'refused' });
  }
});

t.test('J4: depth, names and size end a body early', async (t) => {
  const names = (count: number, nameOf: (index: number) => string) =>
    `{${Array.from({ length: count }, (_, index) => `"${nameOf(index)}":0`).join(',')}}`;
  const bodies: [string, string, { status: number; code: string }][] = [
    ['100,000 levels', callWith(`${'['.repeat(100_000)}${']'.repeat(100_000)}`), { status: 400, code: 'invalid_json' }],
    ['objects that never end', callWith('{"a":'.repeat(100_000)), { status: 400, code: 'invalid_json' }],
    ['60,000 names', callWith(names(60_000, (index) => `k${index}`)), { status: 400, code: 'invalid_json' }],
    ['60,000 indices', callWith(names(60_000, (index) => `${index * 16}`)), { status: 400, code: 'invalid_json' }],
    ['a million names', callWith(names(1_000_000, (index) => `${index}`)), { status: 413, code: 'body_too_large' }],
    ['a string of 10 MB', callWith(`{"a":"${'x'.repeat(10_000_000)}"}`), { status: 413, code: 'body_too_large' }],
  ];
  for (const [label, body, expected] of bodies) {
    assertRefused(t, label, await attack(scenario, post(body)), { ...expected, http: mcp });
  }
  const within = callWith(names(9_000, (index) => `${index}`));
  const { answer, forwarded } = await attack(scenario, post(within));
  t.equal(answer.status, 200);
  t.equal(forwarded[0]?.body.toString(), within, 'what is within the limits is forwarded whole');
});

t.test('J6: however a valid call is written, the upstream receives those bytes', async (t) => {
  const space = fc.constantFrom('', '', ' ', '\n', '\t', '\r\n ');
  const odd = fc.constantFrom(
    '12345678901234567890',
    '1.0',
    '-0',
    '1e-400',
    '0.1e+2',
    '"\\u0000\\/\\ud83d\\ude00"',
    '"é\u2028"',
    '[ ]',
  );
  const argument = fc.oneof(
    odd,
    fc.jsonValue({ maxDepth: 2 }).map((value) => JSON.stringify(value)),
  );
  const call = fc
    .record({
      gaps: fc.array(space, { minLength: 8, maxLength: 8 }),
      order: fc.shuffledSubarray(['jsonrpc', 'id', 'method', 'params'], { minLength: 4 }),
      id: fc.constantFrom('1', '-9007199254740991', '"\\u00e9"', '""'),
      method: fc.constantFrom('"tools/call"', '"tools\\/call"', '"\\u0074ools/call"'),
      name: fc.constantFrom('"list_dashboards"', '"list\\u005fdashboards"'),
      key: fc.constantFrom('__proto__', 'constructor', 'x', '1', 'a\\u0000'),
      argument,
    })
    .map(
      ({
        gaps: [a = '', b = '', c = '', d = '', e = '', f = '', g = '', h = ''],
        order,
        id,
        method,
        name,
        key,
        argument,
      }) => {
        const members: Record<string, string> = {
          jsonrpc: `"jsonrpc"${a}:${b}"2.0"`,
          id: `"id":${c}${id}`,
          method: `"\\u006dethod":${d}${method}`,
          params: `"params":${e}{"arguments":{${f}"${key}":${argument}},${g}"name":${name}}`,
        };
        return `${h}{${order.map((member) => members[member]).join(`${a},${b}`)}}${h}`;
      },
    );
  const digest = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('hex');
  await fc.assert(
    fc.asyncProperty(call, async (body) => {
      const before = scenario.upstream.requests.length;
      const answer = await reporting.post(body);
      t.equal(answer.status, 200);
      t.equal(scenario.upstream.requests.length, before + 1);
      t.equal(digest(scenario.upstream.requests.at(-1)!.body), digest(body));
    }),
    { numRuns: 100 },
  );
  t.equal(({} as { x?: unknown }).x, undefined);
});

t.test('J9: a name that only looks like an allowed one is another name', async (t) => {
  const names = [
    'lis\u0442_dashboards',
    'list\u200b_dashboards',
    'list_dashboards\u00a0',
    'list_dashboards\u0000',
    '\u202elist_dashboards',
    'ｌist_dashboards',
    'list_dashboard\u017f',
    'list_dashboards\u0301',
    'list_dashboards\n{"forged":"record"}',
    'x'.repeat(10_240),
  ];
  for (const name of names) {
    const { code, forwarded, record, answer } = await attack(scenario, post(toolCall(name)));
    t.equal(answer.status, 200);
    t.equal(code, 'denied');
    t.equal(forwarded.length, 0);
    t.ok(name.startsWith(record.mcp!.tool!.slice(0, 40)), 'the record has the name, or its beginning');
  }
  const lines = (await readFile(join(scenario.directory, 'audit.jsonl'), 'utf8')).trimEnd().split('\n');
  for (const line of lines) {
    JSON.parse(line);
    t.notMatch(line, /[\p{Cc}\u202e\u2028]/u, 'no control is raw in the record');
  }
  t.ok(
    lines.every((line) => Buffer.byteLength(line) < 2048),
    'a long name does not make a long record',
  );
  const metrics = await scenario.metrics();
  t.match(metrics, 'portcullis_tool_calls_total{route="/mcp",tool="other",outcome="refused"}');
  t.notMatch(metrics, /forged|xxxx|\u0442/);
});

t.test('J10: every other method needs a rule, whoever sends it in whichever direction', async (t) => {
  const uri = 'file:///etc/passwd';
  const methods: [string, object][] = [
    ['tools/call2', { name: 'list_dashboards' }],
    ['Tools/Call', { name: 'list_dashboards' }],
    ['resources/read', { uri }],
    ['resources/subscribe', { uri }],
    ['resources/unsubscribe', { uri }],
    ['subscriptions/listen', { notifications: { resourceSubscriptions: [uri] } }],
    ['subscriptions/listen', { notifications: { resourceSubscriptions: ['superset://schema', uri] } }],
    ['subscriptions/listen', { notifications: { resourceSubscriptions: ['superset://x/../y'] } }],
    ['prompts/get', { name: 'list_dashboards' }],
    ['completion/complete', { ref: { type: 'ref/prompt', name: 'p' }, argument: { name: 'a', value: '' } }],
    ['completion/complete', { ref: { type: 'ref/resource', uri }, argument: { name: 'a', value: '' } }],
    ['sampling/createMessage', { messages: [], maxTokens: 1 }],
    ['elicitation/create', { message: 'x' }],
    ['roots/list', {}],
    ['tasks/get', { taskId: 't' }],
    ['tasks/result', { taskId: 't' }],
    ['tasks/list', {}],
    ['tasks/cancel', { taskId: 't' }],
    ['tasks/update', { taskId: 't' }],
    ['x/unknown', {}],
    ['__proto__', {}],
    ['constructor', {}],
  ];
  const messages = new Set<unknown>();
  for (const [method, params] of methods) {
    const result = await attack(scenario, post({ jsonrpc: '2.0', id: 'm', method, params }));
    assertRefused(t, method, result, denied);
    messages.add((result.answer.json!.error as { message: string }).message);
  }
  t.equal(messages.size, 1, 'what exists and what does not read the same');
  for (const method of [
    'notifications/message',
    'notifications/tools/list_changed',
    'notifications/',
    'notifications/x',
  ]) {
    assertRefused(t, method, await attack(scenario, post({ jsonrpc: '2.0', method })), denied);
  }
  const listen = { notifications: { toolsListChanged: true, resourceSubscriptions: ['superset://a', 'superset://b'] } };
  const { answer, record } = await attack(
    scenario,
    post({ jsonrpc: '2.0', id: 1, method: 'subscriptions/listen', params: listen }),
  );
  t.equal(answer.status, 200);
  t.match(record, { rule: 'open, rules[1]', mcp: { target: ['superset://a', 'superset://b'] } });
});

t.test('J8: the name that the header repeats is that in the message, also of a call through a meta-tool', async (t) => {
  const _meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' };
  const body = JSON.stringify({
    jsonrpc: '2.0',
    id: 1,
    method: 'tools/call',
    params: { name: 'call_tool', arguments: { name: 'list_dashboards', arguments: {} }, _meta },
  });
  const headersFor = (name: string) => ({
    'mcp-protocol-version': '2026-07-28',
    'mcp-method': 'tools/call',
    'mcp-name': name,
  });
  t.equal((await reporting.post(body, { headers: headersFor('call_tool') })).status, 200);
  const seen = scenario.upstream.requests.length;
  const inner = await reporting.post(body, { headers: headersFor('list_dashboards') });
  t.match(JSON.parse(inner.text), { id: 1, error: { code: -32020, data: { code: 'header_mismatch' } } });
  t.equal(scenario.upstream.requests.length, seen);
});
