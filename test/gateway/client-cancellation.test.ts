// Cancellation by the SDKs' clients of calls to an upstream that issues no sessions: it reaches the upstream, and the client goes on.
import { Client as SecondClient, StreamableHTTPClientTransport as SecondTransport } from '@modelcontextprotocol/client';
import { Client as FirstClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as FirstTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import t from 'tap';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';

const results: Record<string, object> = {
  initialize: { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo: { name: 's', version: '1' } },
  'tools/list': { tools: [{ name: 'list_dashboards', inputSchema: { type: 'object' } }] },
};
const scenario = await startScenario(
  t,
  { server: { plaintext: true, allowedHosts: ['127.0.0.1'] } },
  {
    reply(request, response) {
      if (request.method !== 'POST') return void response.writeHead(405, { allow: 'POST' }).end();
      const { id, method } = JSON.parse(request.body.toString());
      if (id === undefined) return void response.writeHead(202).end();
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      // A call says that it makes progress, and has no end.
      const token = { progressToken: id, progress: 1 };
      const progress = { jsonrpc: '2.0', method: 'notifications/progress', params: token };
      const result = results[method];
      const message = result === undefined ? progress : { jsonrpc: '2.0', id, result };
      response.write(`data: ${JSON.stringify(message)}\n\n`);
      if (result !== undefined) response.end();
    },
  },
);
const url = new URL(`http://127.0.0.1:${scenario.port}/mcp`);
const requestInit = { headers: scenario.agent.headers };

async function connectFirst() {
  const client = new FirstClient({ name: 'test', version: '1' });
  await client.connect(new FirstTransport(url, { requestInit }) as Transport);
  return client;
}

async function connectSecond() {
  const client = new SecondClient({ name: 'test', version: '1' });
  await client.connect(new SecondTransport(url, { requestInit }));
  return client;
}

for (const [generation, connect] of [
  ['first', connectFirst],
  ['second', connectSecond],
] as const) {
  t.test(`a client of the ${generation} generation cancels a call of its own, and goes on`, async (t) => {
    const client = await connect();
    t.teardown(() => client.close());
    const errors: Error[] = [];
    client.onerror = (error) => void errors.push(error);
    const cancellation = new AbortController();
    const call = { name: 'list_dashboards', arguments: {} };
    const options = { signal: cancellation.signal, onprogress: () => cancellation.abort('enough') };
    const seen = scenario.upstream.requests.length;
    const calling = async () =>
      client instanceof FirstClient
        ? void (await client.callTool(call, undefined, options))
        : void (await client.callTool(call, options));
    await t.rejects(calling());
    const messages = () => {
      const posts = scenario.upstream.requests.slice(seen).filter(({ method }) => method === 'POST');
      return posts.map(({ body }) => JSON.parse(body.toString()));
    };
    await until(() => messages().some(({ method }) => method === 'notifications/cancelled'), 'the cancellation');
    const [called, cancelled] = ['tools/call', 'notifications/cancelled'].map((method) =>
      messages().find((message) => message.method === method),
    );
    t.match(cancelled, { params: { requestId: called.id, reason: 'enough' } });
    t.match(await client.listTools(), { tools: [{ name: 'list_dashboards' }] });
    t.strictSame(errors, []);
  });
}
