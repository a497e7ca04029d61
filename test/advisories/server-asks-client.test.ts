// A server that cannot be trusted asks the client: sampling spends its model on a prompt of the server's (MCP specification, Security and Trust; Unit 42,
// "MCP sampling attack vectors"), elicitation asks its user for secrets, roots tell its folders. Each hides in streams, batches and results.
import t, { type Test } from 'tap';
import { toolCall } from '../support/client.ts';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';
import type { Reply } from '../support/upstream.ts';

let contentType = 'text/event-stream';
let body = '';
let staysOpen = false;
const reply: Reply = (request, response) => {
  const text = request.body.toString();
  if (request.method === 'GET' && staysOpen)
    return void response.writeHead(200, { 'content-type': 'text/event-stream' }).write(body);
  if (text.includes('"error"')) return void response.writeHead(202).end();
  const session = text.includes('"initialize"') ? { 'mcp-session-id': 'up-1' } : {};
  response.writeHead(200, { 'content-type': contentType, ...session }).end(body);
};
const rules = [{ allow: { tools: ['*'] } }];
const mcp = { preset: { name: 'superset', rules: false }, rules };
const scenario = await startScenario(
  t,
  {
    routes: {
      '/mcp': { name: 'some', mcp: { ...mcp, serverRequests: ['elicitation/create'] } },
      '/none': { name: 'none', mcp: { ...mcp, serverRequests: [] } },
      '/all': { name: 'all', mcp },
    },
  },
  { reply, streamTickMs: 20 },
);
const { agent, upstream } = scenario;

const rpc = (message: object) => JSON.stringify({ jsonrpc: '2.0', ...message });
const sampling = rpc({ id: 's-1', method: 'sampling/createMessage', params: { messages: [] } });
const elicitation = rpc({ id: 7, method: 'elicitation/create', params: { message: 'Which year?' } });
const progress = rpc({ method: 'notifications/message', params: {} });
const ping = rpc({ id: 8, method: 'ping' });
const result = rpc({ id: 1, result: { content: [] } });
const eventOf = (data: string, index: number) => `id: e${index}\nevent: message\ndata: ${data}\n\n`;
const emptied = (index: number) => `id: e${index}\nevent: message\n\n`;

/** Answers a call with this body, and gives what the client got. */
async function callWith(text: string, type = 'text/event-stream', path = '/mcp') {
  [contentType, body] = [type, text];
  return agent.post(toolCall('list_charts', {}, 1), { path });
}

/** The answers to the server's requests that reached it, once there are so many. */
async function refusalsOf(t: Test, count: number) {
  const refused = () => upstream.requests.filter((request) => request.body.includes('-32601'));
  await until(() => refused().length >= count);
  t.equal(refused().length, count);
  return refused();
}

t.test('in a stream what does not pass is taken out, everything else stays byte for byte', async (t) => {
  const events = [progress, sampling, elicitation, ping, result];
  const answer = await callWith(events.map(eventOf).join(''));
  t.equal(answer.text, events.map((data, i) => (data === sampling ? emptied(i) : eventOf(data, i))).join(''));
  const [refused] = await refusalsOf(t, 1);
  t.same(JSON.parse(refused!.body.toString()), {
    jsonrpc: '2.0',
    id: 's-1',
    error: { code: -32601, message: 'Method not found' },
  });
  t.match(await scenario.recordOf(answer), {
    decision: 'allow',
    outcome: 'completed',
    detail: { withheld: { 'sampling/createMessage': 1 } },
  });
  const labels = { route: 'some', method: 'sampling/createMessage' };
  t.equal(await scenario.metric('portcullis_server_requests_withheld_total', labels), 1);
});

t.test('without the key everything passes byte for byte', async (t) => {
  const events = [sampling, elicitation, rpc({ id: 1, method: 'own/method' }), result].map(eventOf).join('');
  t.equal((await callWith(events, 'text/event-stream', '/all')).text, events);
});

t.test('the answer on behalf of the client is in its session, and has its credential', async (t) => {
  body = eventOf(rpc({ id: 1, result: {} }), 0);
  const opened = await agent.post({ jsonrpc: '2.0', id: 1, method: 'initialize', params: {} });
  const session = { 'mcp-session-id': String(opened.headers['mcp-session-id']) };
  body = [sampling, result].map(eventOf).join('');
  await agent.post(toolCall('list_charts'), { headers: session });
  const [, refused] = await refusalsOf(t, 2);
  t.same(refused!.header('mcp-session-id'), ['up-1']);
  t.same(refused!.header('x-forwarded-client-id'), ['ai_agent_prod']);

  const stream = await agent.send({
    method: 'GET',
    path: '/mcp',
    headers: { accept: 'text/event-stream', ...session },
  });
  t.equal(stream.text, emptied(0) + eventOf(result, 1), 'also in the stream of a GET');
  await refusalsOf(t, 3);
});

t.test('however it is written it does not pass', async (t) => {
  const written = [
    '{"jsonrpc":"2.0","id":null,"method":"sampling\\/createMessage"}',
    '{"jsonrpc":"2.0","id":[],"method":"\\u0073ampling/createMessage"}',
    '{"jsonrpc":"2.0","method":"sampling/createMessage"}',
    rpc({ id: 2, method: 'Sampling/createMessage' }),
    rpc({ id: 2, method: 'roots/list' }),
    rpc({ id: 2, method: 'own/method' }),
    `[${sampling}]`,
  ];
  for (const text of written)
    t.equal((await callWith(eventOf(text, 0) + eventOf(result, 1))).text, emptied(0) + eventOf(result, 1), text);
  t.equal((await callWith(eventOf(`[${sampling}, ${result}]`, 0))).text, eventOf(`[${result}]`, 0));
  const twice = '{"jsonrpc":"2.0","id":2,"method":"ping","method":"sampling/createMessage"}';
  await t.rejects(callWith(eventOf(twice, 0)), 'what could be read in two ways ends the stream');
});

t.test('in a JSON answer', async (t) => {
  t.equal((await callWith(result, 'application/json')).text, result);
  t.equal((await callWith(`[${progress},${sampling},${result}]`, 'application/json')).text, `[${progress},${result}]`);
  const alone = await callWith(sampling, 'application/json');
  t.equal(alone.status, 502);
  t.equal(JSON.parse(alone.text).error.data.code, 'bad_upstream');
});

t.test('an input-required result, a task and a URL elicitation ask as well', async (t) => {
  const asking = (method: string) => ({
    resultType: 'input_required',
    inputRequests: { a: { method: 'elicitation/create', params: {} }, b: { method, params: {} } },
    requestState: 'x',
  });
  const passing = rpc({ id: 1, result: asking('elicitation/create') });
  t.equal((await callWith(passing, 'application/json')).text, passing);
  for (const type of ['application/json', 'text/event-stream']) {
    const text = rpc({ id: 1, result: asking('sampling/createMessage') });
    const answer = await callWith(type === 'application/json' ? text : `data: ${text}\n\n`, type);
    const shown = JSON.parse(answer.text.replace(/^data: /, ''));
    t.match(shown, { id: 1, error: { code: 403, data: { code: 'denied' } } });
    t.match(shown.error.message, /asks its client/);
    t.match((await scenario.recordOf(answer)).detail, { withheld: { 'sampling/createMessage': 1 } });
  }
  const task = rpc({ method: 'notifications/tasks', params: asking('roots/list') });
  t.equal((await callWith(eventOf(task, 0) + eventOf(result, 1))).text, emptied(0) + eventOf(result, 1));
  const url = rpc({
    id: 1,
    error: { code: -32042, message: 'x', data: { elicitations: [{ url: 'https://evil.example' }] } },
  });
  t.equal((await callWith(url, 'application/json')).text, url);
  t.notMatch((await callWith(url, 'application/json', '/none')).text, /evil/);
});

t.test('-32042.0 and -3.2042e4 are the code of a URL elicitation as well', async (t) => {
  for (const code of ['-32042.0', '-3.2042e4', '-320420e-1', '"-32042"']) {
    const url = `{"jsonrpc":"2.0","id":1,"error":{"code":${code},"message":"x","data":{"elicitations":[{"url":"https://evil.example"}]}}}`;
    const answer = await callWith(url, 'application/json', '/none');
    t.notMatch(answer.text, /evil/, code);
    t.match((await scenario.recordOf(answer)).detail, { withheld: { 'elicitation/create': 1 } }, code);
  }
});

t.test('{"method":"ping","Method":"elicitation/create"} in `inputRequests` does not pass', async (t) => {
  const asking = {
    resultType: 'input_required',
    inputRequests: { a: { method: 'ping', Method: 'elicitation/create' } },
  };
  const answer = await callWith(rpc({ id: 1, result: asking }), 'application/json', '/none');
  t.equal(answer.status, 502);
  t.equal(JSON.parse(answer.text).error.data.code, 'bad_upstream');
});

t.test('a reload that lets less pass ends the streams that are open', async (t) => {
  [contentType, body] = ['text/event-stream', eventOf(progress, 0)];
  const opened = await agent.post({ jsonrpc: '2.0', id: 1, method: 'initialize', params: {} });
  staysOpen = true;
  const headers = { accept: 'text/event-stream', 'mcp-session-id': String(opened.headers['mcp-session-id']) };
  const stream = await agent.hold({ path: '/mcp', headers });
  await stream.saw('notifications/message');
  await scenario.reload({ routes: { '/mcp': { mcp: { serverRequests: [] } } } });
  t.equal(await stream.ended(), 'clean');
  await scenario.record((record) => record.id === stream.id && record.stage === 'stream' && record.reason === 'policy');
});
