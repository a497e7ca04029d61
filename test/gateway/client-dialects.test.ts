// Dialects of real clients: null for no arguments, ids beyond 2^53, and media types in other spellings (faults.md D2, D7).
import t from 'tap';
import { startScenario } from '../support/scenario.ts';

const { agent, frontend, recordOf, upstream } = await startScenario(
  t,
  {
    routes: {
      '/mcp': {
        mcp: {
          metaTools: { call_tool: { name: '/name', arguments: '/arguments' } },
          denials: 'http',
          rules: [
            { allow: { tools: ['list_dashboards'], when: '!has(args.limit)' } },
            { allow: { prompts: ['tour'] } },
          ],
        },
      },
    },
  },
  { inject: true },
);

const message = (method: string, params: string, id = '1') =>
  `{"jsonrpc":"2.0","id":${id},"method":"${method}","params":${params}}`;

t.test('`"arguments": null`, the nil map of typed clients, is a call without arguments', async (t) => {
  for (const [sent, mcp] of [
    [message('tools/call', '{"name":"list_dashboards","arguments":null}'), { tool: 'list_dashboards' }],
    [message('prompts/get', '{"name":"tour","arguments":null}'), { target: 'tour' }],
    [
      message('tools/call', '{"name":"call_tool","arguments":{"name":"list_dashboards","arguments":null}}'),
      { tool: 'list_dashboards', via: 'call_tool' },
    ],
    [message('ping', 'null'), { method: 'ping' }],
  ] as const) {
    const answer = await agent.post(sent);
    t.equal(answer.status, 200, answer.text);
    t.equal(upstream.requests.at(-1)?.body.toString(), sent, 'the bytes go on as they are');
    const record = await recordOf(answer);
    t.match(record, { mcp });
    t.equal(record.mcp?.arguments, undefined, 'there are none to record');
  }
});

t.test('an id beyond 2^53 is taken, and a refusal repeats it as it was written', async (t) => {
  for (const id of ['9007199254740993', '-12345678901234567890', '1.0', '1e3', '"\\u0061\\/é"']) {
    const taken = message('tools/call', '{"name":"list_dashboards"}', id);
    t.equal((await agent.post(taken)).status, 200, id);
    t.equal(upstream.requests.at(-1)?.body.toString(), taken);
    const denied = await frontend.post(message('tools/call', '{"name":"execute_sql"}', id));
    t.equal(denied.status, 403);
    t.ok(denied.text.startsWith(`{"jsonrpc":"2.0","id":${id},"error":`), denied.text);
  }
});

t.test('`Application/JSON;` and `; charset="UTF-8"` are JSON, and Accept is the upstream’s to read', async (t) => {
  for (const type of ['Application/JSON;', 'application/json; charset=UTF-8', 'APPLICATION/JSON;charset="utf-8";']) {
    const headers = { 'content-type': type, accept: 'Application/JSON;, Text/Event-Stream;' };
    const answer = await agent.post(message('tools/call', '{"name":"list_dashboards"}'), { headers });
    t.equal(answer.status, 200, type);
    t.strictSame(upstream.requests.at(-1)?.header('accept'), [headers.accept]);
    t.strictSame(upstream.requests.at(-1)?.header('content-type'), [type]);
  }
});
