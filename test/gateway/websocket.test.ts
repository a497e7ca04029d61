// WebSockets through the gateway: transparent between a real client and server, and ended with their right.
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import type { Changes } from '../support/configuration.ts';
import { type Scenario, type Surroundings, startScenario } from '../support/scenario.ts';

interface Echo {
  readonly url: string;
  readonly offers: readonly IncomingMessage[];
  readonly sockets: readonly WebSocket[];
}

/** Echoes every message as it came; takes `chat` among the subprotocols, and closes with the code that a message `close CODE` names. */
async function startEcho(t: Test): Promise<Echo> {
  const server = createServer((_request, response) => response.writeHead(426).end('only WebSockets here'));
  const offers: IncomingMessage[] = [];
  const sockets: WebSocket[] = [];
  const sockets_ = new WebSocketServer({
    server,
    handleProtocols: (offered) => (offered.has('chat') ? 'chat' : false),
  });
  sockets_.on('connection', (socket, request) => {
    offers.push(request);
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('message', (data, isBinary) => {
      const close = isBinary ? null : /^close (\d+) (.*)$/.exec(String(data));
      if (close === null) socket.send(data, { binary: isBinary });
      else socket.close(Number(close[1]), close[2]);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.terminate();
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, offers, sockets };
}

const routes: NonNullable<Changes['routes']> = { '/ws/*': { websocket: true, scopes: ['dashboards:read'] } };

async function scenarioOf(t: Test, changes: Changes = {}, surroundings: Partial<Surroundings<Echo>> = {}) {
  const upstream = await startEcho(t);
  return startScenario<Echo>(t, { routes, ...changes }, { upstream, ...surroundings });
}

function connect(
  scenario: Scenario<Echo>,
  headers: Readonly<Record<string, string>> = scenario.agent.headers,
  { path = '/ws/live?room=1', protocols = [] as string[] } = {},
): WebSocket {
  const socket = new WebSocket(`ws://127.0.0.1:${scenario.port}${path}`, protocols, {
    headers: { host: 'mcp.example.com', ...headers },
  });
  socket.on('error', () => {});
  return socket;
}

async function opened(socket: WebSocket): Promise<WebSocket> {
  await once(socket, 'open');
  return socket;
}

const closed = async (socket: WebSocket): Promise<{ code: number; reason: string }> => {
  const [code, reason] = await once(socket, 'close');
  return { code: code as number, reason: String(reason) };
};

async function refused(socket: WebSocket): Promise<IncomingMessage> {
  const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
  response.resume();
  return response;
}

t.test('messages of every kind pass both ways, to the byte', async (t) => {
  const scenario = await scenarioOf(t);
  const socket = await opened(connect(scenario, scenario.agent.headers, { protocols: ['other', 'chat'] }));
  t.equal(socket.protocol, 'chat', 'the upstream chooses the subprotocol');
  const [offer] = scenario.upstream.offers;
  t.equal(offer!.url, '/ws/live?room=1');
  t.equal(offer!.headers.authorization, undefined, "the caller's token goes no further");
  t.equal(offer!.headers['x-forwarded-for'], '127.0.0.1');
  const echo = async (message: string | Buffer) => {
    socket.send(message);
    const [data, isBinary] = (await once(socket, 'message')) as [Buffer, boolean];
    t.equal(isBinary, Buffer.isBuffer(message));
    t.ok(data.equals(Buffer.from(message)), `${message.length} bytes`);
  };
  await echo('hello');
  await echo('');
  await echo(Buffer.alloc(126, 7));
  await echo('ü'.repeat(40_000));
  await echo(Buffer.alloc(1024 * 1024, 'x'));
  socket.ping('are you there');
  t.equal(String((await once(socket, 'pong'))[0]), 'are you there');
  socket.close(4711, 'done');
  t.strictSame(await closed(socket), { code: 4711, reason: 'done' });
  const record = await scenario.record(({ stage }) => stage === 'completed');
  t.match(record, {
    decision: 'allow',
    outcome: 'completed',
    status: 101,
    principal: { clientId: 'ai_agent_prod' },
    detail: { websocket: { messages: { toUpstream: 5, toClient: 5 } } },
  });
  t.ok(record.bytes! > 1024 * 1024);
});

t.test('close codes pass in both directions, and so does a close without one', async (t) => {
  const scenario = await scenarioOf(t);
  for (const code of [1000, 1011, 3000, 4999]) {
    const socket = await opened(connect(scenario));
    socket.send(`close ${code} because`);
    t.strictSame(await closed(socket), { code, reason: 'because' });
  }
  const socket = await opened(connect(scenario));
  const atUpstream = closed(scenario.upstream.sockets.at(-1)!);
  socket.close();
  t.strictSame(await atUpstream, { code: 1005, reason: '' });
});

t.test('an offer is authenticated, decided and recorded like every request', async (t) => {
  const scenario = await scenarioOf(t, {
    routes: {
      ...routes,
      '/plain/*': {},
      '/ws-write/*': { websocket: true, scopes: ['dashboards:write'] },
    } as NonNullable<Changes['routes']>,
  });
  const nobody = await refused(connect(scenario, {}));
  t.match(nobody, { statusCode: 401 });
  t.match(nobody.headers['www-authenticate'], /Bearer/);
  t.match(await refused(connect(scenario, scenario.agent.headers, { path: '/ws-write/x' })), { statusCode: 403 });
  const origin = { ...scenario.agent.headers, origin: 'https://evil.example' };
  t.match(await refused(connect(scenario, origin)), { statusCode: 403 });
  t.match(await refused(connect(scenario, scenario.agent.headers, { path: '/nowhere' })), { statusCode: 404 });
  const ignored = await refused(connect(scenario, scenario.agent.headers, { path: '/plain/x' }));
  t.match(
    ignored,
    { statusCode: 426 },
    'where the route has none the offer is ignored, and the upstream sees a plain request',
  );
  t.equal(scenario.upstream.offers.length, 0);
  t.equal((await scenario.matchingRecords(4, ({ outcome }) => outcome === 'refused')).length, 4);
});

t.test('an upstream that does not switch answers as to any request', async (t) => {
  const upstream = createServer((_request, response) => response.writeHead(403, { 'x-why': 'full' }).end('no'));
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  t.teardown(() => upstream.close());
  const url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  const scenario = await startScenario<Echo>(t, { routes }, { upstream: { url, offers: [], sockets: [] } });
  const answer = await refused(connect(scenario));
  t.match(answer, { statusCode: 403, headers: { 'x-why': 'full' } });
  t.match(await scenario.record(({ stage }) => stage === 'completed'), { outcome: 'completed', status: 403 });
});

t.test('an upstream that is away is 502, before any connection is open', async (t) => {
  const scenario = await startScenario<Echo>(
    t,
    { routes },
    { upstream: { url: 'http://127.0.0.1:9', offers: [], sockets: [] } },
  );
  const answer = await refused(connect(scenario));
  t.equal(answer.statusCode, 502);
  t.match(await scenario.record(({ stage }) => stage === 'completed'), { outcome: 'failed', reason: 'bad_upstream' });
});

t.test('it ends with the token', async (t) => {
  let now = Date.now();
  const scenario = await scenarioOf(t, {}, { now: () => now, streamTickMs: 10 });
  const socket = await opened(connect(scenario, await scenario.bearer({ exp: Math.floor(now / 1000) + 60 })));
  const atUpstream = closed(scenario.upstream.sockets[0]!);
  const atClient = closed(socket);
  now += 61_000;
  t.strictSame(await atClient, { code: 1008, reason: 'expired' });
  t.strictSame(await atUpstream, { code: 1008, reason: 'expired' });
  t.match(await scenario.record(({ stage }) => stage === 'stream'), { reason: 'expired' });
  await scenario.record(({ stage }) => stage === 'completed');
});

t.test('it ends with a revocation of its client', async (t) => {
  const scenario = await scenarioOf(
    t,
    { revocation: { file: 'revoked.yaml' } },
    { files: { 'revoked.yaml': 'clientIds: []\n' }, streamTickMs: 10, revocationPollMs: 10 },
  );
  const socket = await opened(connect(scenario));
  const ending = closed(socket);
  await scenario.write('revoked.yaml', 'clientIds: [ai_agent_prod]\n');
  t.strictSame(await ending, { code: 1008, reason: 'revoked' });
});

t.test(
  'it ends with a reload that takes the right or the protocol away, and goes on over one that does not',
  async (t) => {
    const scenario = await scenarioOf(t, {}, { streamTickMs: 10 });
    const socket = await opened(connect(scenario));
    await scenario.reload({ server: { allowedHosts: ['other.example.com'] } });
    socket.send('still here');
    t.equal(String((await once(socket, 'message'))[0]), 'still here');
    const ending = closed(socket);
    await scenario.reload({ routes: { '/ws/*': { scopes: ['dashboards:write'] } } as NonNullable<Changes['routes']> });
    t.strictSame(await ending, { code: 1008, reason: 'policy' });
  },
);

t.test('it ends behind the message that is on its way, not within it', async (t) => {
  let now = Date.now();
  const scenario = await scenarioOf(t, {}, { now: () => now, streamTickMs: 10 });
  const socket = await opened(connect(scenario, await scenario.bearer({ exp: Math.floor(now / 1000) + 60 })));
  const ending = closed(socket);
  let received = 0;
  socket.on('message', (data: Buffer) => {
    received = data.length;
  });
  // More than the buffers on the way hold: the frame is under way when the right ends.
  socket.pause();
  scenario.upstream.sockets[0]!.send(Buffer.alloc(20_000_000));
  await scenario.record(({ stage }) => stage === 'decided');
  now += 61_000;
  await scenario.record(({ stage }) => stage === 'stream');
  socket.resume();
  t.strictSame(await ending, { code: 1008, reason: 'expired' });
  t.equal(received, 20_000_000);
});

t.test('their number is limited for each subject, whatever its clients', async (t) => {
  const scenario = await scenarioOf(t, { upstreams: { superset: { limits: { streamsPerSubject: 2 } } } });
  const sockets = [
    await opened(connect(scenario)),
    await opened(connect(scenario, await scenario.bearer({ client_id: 'another_client' }))),
  ];
  t.equal((await refused(connect(scenario))).statusCode, 503);
  await opened(connect(scenario, await scenario.bearer({ sub: 'somebody-else' })));
  sockets[0]!.close();
  await closed(sockets[0]!);
  await scenario.record(({ stage, status }) => stage === 'completed' && status === 101);
  await opened(connect(scenario));
});

t.test('it ends with 1001 when the gateway stops', async (t) => {
  const scenario = await scenarioOf(t);
  const socket = await opened(connect(scenario));
  const ending = closed(socket);
  await scenario.gateway.close();
  t.strictSame(await ending, { code: 1001, reason: 'shutdown' });
});
