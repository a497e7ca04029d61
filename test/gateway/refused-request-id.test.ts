// The id of a request in every refusal that comes before its message is understood (faults.md D1): one SDK waits for ever for an answer with another id.
import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import { toolCall } from '../support/client.ts';
import { startScenario } from '../support/scenario.ts';
import { closedPort } from '../support/upstream.ts';

const scenario = await startScenario(t, {
  server: { limits: { bodyBytes: '4KiB' } },
  authenticators: {
    partner: {
      type: 'introspection',
      endpoint: `${await closedPort()}/introspect`,
      issuer: 'https://partner.example/',
      clientId: 'portcullis',
      clientSecret: 'secret',
    },
  },
  routes: { '/partner': { authenticate: 'partner', mcp: { rules: [{ allow: { tools: ['*'] } }] } } },
});
const { agent, anybody, upstream } = scenario;

const call = JSON.stringify(toolCall('list_dashboards', {}, 'call-7'));
/** As the SDKs for TypeScript and Python write it: what is judged comes before the id. */
const late = (filler: number) =>
  `{"method":"tools/call","params":{"name":"list_dashboards","arguments":{"q":"${'"{'.replaceAll('"', '\\"').repeat(filler)}"}},"jsonrpc":"2.0","id":"call-7"}`;
const bearer = { authorization: 'Bearer opaque-token' };
const json = 'application/json';

const refusals: Record<string, [caller: typeof agent, status: number, body: string, more?: object]> = {
  'body too large, as announced': [agent, 413, JSON.stringify(toolCall('x', { q: 'x'.repeat(5000) }, 'call-7'))],
  'body too large, in chunks': [
    agent,
    413,
    JSON.stringify(toolCall('x', { q: 'x'.repeat(5000) }, 'call-7')),
    { headers: { 'transfer-encoding': 'chunked' } },
  ],
  'media type': [agent, 415, call, { headers: { 'content-type': 'text/plain' } }],
  'media type, id behind params': [agent, 415, late(500), { headers: { 'content-type': 'text/plain' } }],
  'malformed arguments': [agent, 400, call.replace('{}', '[]')],
  'malformed arguments, id behind params': [agent, 400, late(500).replace('{"q"', '{"q":1,"q"')],
  'invalid JSON behind the id': [agent, 400, call.slice(0, -3)],
  'no credential': [anybody, 401, call],
  'no credential, id behind params': [anybody, 401, late(2000)],
  'an invalid token': [anybody, 401, call, { headers: { authorization: 'Bearer a.b.c' } }],
  'an empty token': [anybody, 400, call, { headers: { authorization: 'Bearer ' } }],
  'Bearer alone': [anybody, 400, call, { headers: { authorization: 'Bearer' } }],
  'two tokens': [anybody, 400, late(2000), { headers: { authorization: 'Bearer a b' } }],
  'a quoted token': [anybody, 400, call, { headers: { authorization: 'Bearer "a.b.c"' } }],
  'an empty Authorization': [anybody, 400, call, { headers: { authorization: '' } }],
  'an unknown scheme': [anybody, 401, call, { headers: { authorization: 'Basic eDp5' } }],
  'a token in the query': [anybody, 400, call, { path: '/mcp?access_token=x' }],
  'a malformed key': [anybody, 400, call, { headers: { 'x-api-key': 'a b' } }],
  'an unavailable issuer': [anybody, 503, call, { path: '/partner', headers: bearer }],
  'an origin that is not allowed': [agent, 403, call, { headers: { origin: 'https://evil.example' } }],
  'another host': [agent, 421, call, { headers: { host: 'evil.example' } }],
  'a header twice': [agent, 400, call, { headers: { 'mcp-name': ['a', 'a'] } }],
  'contradicting headers': [agent, 400, call, { headers: { 'mcp-method': 'tools/list' } }],
  'an unknown session': [agent, 404, call, { headers: { 'mcp-session-id': 'x' } }],
};

t.test('a refusal carries the id of the request, whatever it is for, and the client goes on', async (t) => {
  const seen = upstream.requests.length;
  for (const [name, [caller, status, body, more = {}]] of Object.entries(refusals)) {
    const answer = await caller.post(body, more);
    t.equal(answer.status, status, name);
    t.equal(answer.headers['content-type'], json, name);
    t.match(JSON.parse(answer.text), { jsonrpc: '2.0', id: 'call-7', error: { code: Number } }, name);
    t.match(await scenario.recordOf(answer), { decision: 'deny', status, outcome: 'refused' }, name);
  }
  t.equal(upstream.requests.length, seen, 'the upstream got nothing');
  t.equal((await agent.call('list_dashboards')).status, 200);
});

t.test('an id of 2 KiB is found, in a body that was not read as in one that was', async (t) => {
  const id = 'x'.repeat(2046);
  const message = JSON.stringify(toolCall('list_dashboards', {}, id));
  for (const [caller, body, status] of [
    [anybody, message, 401],
    [agent, message.replace('{}', '[]'), 400],
  ] as const) {
    const answer = await caller.post(body);
    t.equal(answer.status, status);
    t.equal(JSON.parse(answer.text).id, id, `${status}`);
  }
});

t.test('no id is looked for where the framing is at fault, which an empty Host is not', async (t) => {
  for (const [line, coding, status, host, id] of [
    ['HTTP/1.1', 'gzip', 400, 'mcp.example.com', 'null'],
    ['HTTP/1.1', 'gzip, chunked', 501, 'mcp.example.com', 'null'],
    ['HTTP/1.0', 'chunked', 400, 'mcp.example.com', 'null'],
    ['HTTP/1.1', 'chunked', 400, '', '"call-7"'],
  ] as const) {
    const chunk = `${Buffer.byteLength(call).toString(16)}\r\n${call}\r\n0\r\n\r\n`;
    const head = `POST /mcp ${line}\r\nHost: ${host}\r\nContent-Type: ${json}\r\nTransfer-Encoding: ${coding}\r\n\r\n`;
    const socket = connect(scenario.port, '127.0.0.1');
    t.teardown(() => socket.destroy());
    socket.write(head + chunk);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    t.match(answer.toString(), new RegExp(`^HTTP/1.1 ${status} [\\s\\S]*"id":${id}`), `${line} ${coding} ${host}`);
  }
});

t.test('there is no id where none can be told', async (t) => {
  for (const [name, caller, body] of [
    ['a batch', agent, `[${call}]`],
    ['a batch of a stranger', anybody, `[${call}]`],
    ['a notification', anybody, '{"jsonrpc":"2.0","method":"notifications/initialized"}'],
    ['an answer, whose id is that of a request of the server', anybody, '{"jsonrpc":"2.0","id":"call-7","result":{}}'],
    ['no JSON', agent, 'call-7'],
    ['an id of more than 2 KiB', anybody, JSON.stringify(toolCall('x', {}, 'x'.repeat(2047)))],
    ['an id behind the largest body', agent, late(3000)],
    ['an id behind 64 KiB of a stranger', anybody, late(30_000)],
  ] as const) {
    const answer = await caller.post(body);
    t.ok(answer.status >= 400, name);
    t.equal(JSON.parse(answer.text).id, null, name);
  }
});

t.test('a body that stops half-way is 408 under its id', async (t) => {
  const { port, bearer } = await startScenario(t, { server: { limits: { receiveTimeout: '100ms' } } });
  const socket = connect(port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  const { authorization } = await bearer();
  socket.write(
    `POST /mcp HTTP/1.1\r\nHost: mcp.example.com\r\nAuthorization: ${authorization}\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n${call}`,
  );
  const [head] = (await once(socket, 'data')) as [Buffer];
  t.match(head.toString(), /^HTTP\/1.1 408 [\s\S]*"id":"call-7"/);
});

t.test('a body that does not come, or waits for 100 (Continue), holds no refusal up', async (t) => {
  for (const expect of ['', 'Expect: 100-continue\r\n']) {
    const socket = connect(scenario.port, '127.0.0.1');
    t.teardown(() => socket.destroy());
    socket.write(
      `POST /mcp HTTP/1.1\r\nHost: mcp.example.com\r\nContent-Type: application/json\r\nContent-Length: 50\r\n${expect}\r\n`,
    );
    const [head] = (await once(socket, 'data')) as [Buffer];
    t.match(head.toString(), /^HTTP\/1.1 401 [\s\S]*"id":null/);
  }
});
