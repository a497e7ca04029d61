// A server answers the list that a client waits for in the stream of another call: clients match results to requests by their ids, wherever they come from
// (@modelcontextprotocol/sdk and others), so a changed definition would come to the model past the pins.
import t from 'tap';
import { formatCatalog } from '../../src/mcp/catalog/catalog.ts';
import { type Definition, recordedOf } from '../../src/mcp/catalog/definition.ts';
import { toolCall } from '../support/client.ts';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';
import type { Reply } from '../support/upstream.ts';

const tool = (name: string, description = `Does ${name}.`): Definition => ({ name, description });
const good = ['list_dashboards', 'search_tools'].map((name) => tool(name));
const file = formatCatalog({
  protocolVersion: '2025-11-25',
  server: { name: 'demo', version: '1' },
  tools: new Map(good.map((each) => [String(each.name), { listed: recordedOf('tools', each) }])),
  resources: new Map(),
  resourceTemplates: new Map(),
  prompts: new Map(),
});
const rpc = (message: object) => JSON.stringify({ jsonrpc: '2.0', ...message });
const evil = { tools: [tool('list_dashboards', 'EVIL')] };
const found = { content: [{ type: 'text', text: JSON.stringify(evil.tools) }] };

let questions = 0;
/** Of the answers to all but the gateway's own questions. */
let [contentType, body] = ['text/event-stream', ''];
const reply: Reply = (request, response) => {
  const message = request.method === 'POST' ? JSON.parse(request.body.toString()) : {};
  const isOwn = String(request.header('user-agent')).startsWith('portcullis/');
  if (isOwn && message.method === 'initialize') questions += 1;
  const results: Readonly<Record<string, object>> = {
    initialize: { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo: {} },
    'tools/list': { tools: good },
  };
  const own = isOwn ? rpc({ id: message.id, result: results[message.method] }) : undefined;
  response.writeHead(200, { 'content-type': own === undefined ? contentType : 'application/json' }).end(own ?? body);
};
const mcp = { preset: { name: 'superset', rules: false }, rules: [{ allow: { tools: ['*'] } }] };
const catalog = { file: 'tools.json', onChange: 'deny' };
const scenario = await startScenario(
  t,
  {
    routes: {
      '/mcp': { name: 'pinned', mcp: { ...mcp, catalog } },
      '/asks': { name: 'asks', mcp: { ...mcp, catalog, serverRequests: [] } },
      '/free': { name: 'free', mcp },
    },
  },
  { reply, files: { 'tools.json': file } },
);
const { agent } = scenario;
const done = rpc({ id: 1, result: { content: [] } });
const eventOf = (data: string) => `id: 1\ndata: ${data}\n\n`;
const post = (message: object, type: string, text: string, path = '/mcp') => {
  [contentType, body] = [type, text];
  return agent.post(message, { path });
};

t.test('a list or a search result under the id of another request is withheld in every response', async (t) => {
  const messages = [
    toolCall('list_dashboards', {}, 1),
    toolCall('search_tools', {}, 1),
    { jsonrpc: '2.0', id: 1, method: 'tools/list' },
    { jsonrpc: '2.0', id: 1, method: 'ping' },
  ];
  for (const message of messages)
    for (const result of [evil, found])
      for (const id of ['77', '"1"', '[1]', 'null', undefined]) {
        const stray = `{"jsonrpc":"2.0",${id === undefined ? '' : `"id":${id},`}"result":${JSON.stringify(result)}}`;
        const answer = await post(message, 'text/event-stream', eventOf(stray));
        t.notMatch(answer.text, /EVIL/, `${JSON.stringify(message)} ${stray}`);
      }
  const answer = await post(messages[0]!, 'text/event-stream', eventOf(rpc({ id: 77, result: evil })) + eventOf(done));
  t.equal(answer.text, `:\n\n:\ndata: ${done}\n\n`, 'the own result passes');
  t.match(await scenario.recordOf(answer), { outcome: 'completed', detail: { withheld: { result: 1 } } });
  const labels = { route: 'pinned', method: 'result' };
  t.equal(await scenario.metric('portcullis_server_requests_withheld_total', labels), 41);
});

t.test('in a batch, in JSON, beside serverRequests and in the stream of a GET', async (t) => {
  const call = toolCall('list_dashboards', {}, 1);
  const batch = `[${rpc({ id: 77, result: evil })},${done}]`;
  t.equal((await post(call, 'application/json', batch)).text, `[${done}]`);
  const alone = await post(call, 'application/json', rpc({ id: 77, result: evil }));
  t.equal(alone.status, 502);
  t.equal(JSON.parse(alone.text).error.data.code, 'bad_upstream');
  t.equal((await post(call, 'application/json', batch, '/asks')).text, `[${done}]`);
  for (const result of [evil, found]) {
    [contentType, body] = ['text/event-stream', eventOf(rpc({ id: 77, result }))];
    const got = await agent.send({ path: '/mcp', headers: { accept: 'text/event-stream' } });
    t.notMatch(got.text, /EVIL/);
  }
});

t.test('errors, and ids that are written differently, pass byte for byte', async (t) => {
  const call = toolCall('list_dashboards', {}, 1);
  for (const text of [
    '{"jsonrpc":"2.0","id":1.0, "result":{}}',
    rpc({ id: 'server-error', error: { code: -32600, message: 'x' } }),
  ])
    t.equal((await post(call, 'application/json', text)).text, text);
});

t.test('without a catalogue everything passes byte for byte', async (t) => {
  const text = eventOf(rpc({ id: 77, result: evil })) + eventOf(done);
  t.equal((await post(toolCall('list_dashboards', {}, 1), 'text/event-stream', text, '/free')).text, text);
});

t.test('`list_changed` in the stream of a call is noticed', async () => {
  const before = questions;
  const changed = rpc({ method: 'notifications/tools/list_changed' });
  await post(toolCall('list_dashboards', {}, 1), 'text/event-stream', eventOf(changed) + eventOf(done));
  await until(() => questions > before);
});
