// A body within `bodyBytes` in chunks of one byte: each chunk became a Buffer of its own, 300 to 500 bytes for one, and a few such requests took all
// memory of the process, before a limit of concurrency could count them and also without a valid credential.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { host, request, withKey } from '../../support/attack.ts';
import { toolCall } from '../../support/client.ts';
import type { Changes } from '../../support/configuration.ts';
import { heldBytes } from '../../support/memory.ts';
import { startIntrospection } from '../../support/oauth-endpoints.ts';
import { type RawConnection, rawConnection, talk } from '../../support/raw-http.ts';
import { type Surroundings, startScenario } from '../../support/scenario.ts';
import { until, untilAtRest } from '../../support/until.ts';

const chunk = '1\r\n \r\n';
const constantBytes = 64 * 1024;
const message = JSON.stringify(toolCall('list_dashboards'));
const inChunks = (text: string): string => text.replace(/./gs, '1\r\n$&\r\n');

async function begin(t: Test, changes: Changes = {}, surroundings: Surroundings = {}) {
  await untilMemoryRests();
  const scenario = await startScenario(t, changes, surroundings);
  const accepted: Socket[] = [];
  (scenario.gateway.app.server as Server).on('connection', (socket) => accepted.push(socket));
  const connections: RawConnection[] = [];
  t.teardown(() => {
    for (const each of connections) each.end();
  });
  /** Sends the head, and resolves when the gateway has read it. `socket` is the gateway's end. */
  async function open(head: string) {
    const client = await rawConnection(scenario.port);
    connections.push(client);
    const ofClient = ({ remotePort }: Socket) => remotePort === client.socket.localPort;
    await until(() => accepted.some(ofClient));
    const socket = accepted.find(ofClient)!;
    client.write(head);
    await until(() => socket.bytesRead === head.length);
    return { client, socket };
  }
  return { ...scenario, open };
}

/** Timers hold parts of the scenario before for up to a second. */
async function untilMemoryRests(): Promise<void> {
  let last = 0;
  let looks = 0;
  await until(async () => {
    const held = await heldBytes();
    looks = Math.abs(held - last) < 16_384 ? looks + 1 : 0;
    last = held;
    return looks === 6;
  }, 'the memory of the process comes to rest');
}

const headOf = (credential: string, framing = 'Transfer-Encoding: chunked', path = '/mcp') =>
  request(`POST ${path}`, [host, credential, 'Content-Type: application/json', framing]);

/** Sends `bytes` of a body in chunks of one byte, all of one Buffer. */
async function sendChunks({ socket }: RawConnection, bytes: number): Promise<void> {
  const some = Buffer.from(chunk.repeat(1024));
  for (let sent = 0; sent < bytes; sent += 1024) if (!socket.write(some)) await once(socket, 'drain');
}

t.test('what the first requests of a process load and compile stays', async (t) => {
  const body = ' '.repeat(150_000) + message;
  const { port } = await startScenario(t);
  t.match((await talk(port, `${headOf(withKey)}${inChunks(body)}0\r\n\r\n`)).text, /^HTTP\/1.1 200 /);
});

t.test('a body that is read whole costs at most twice its bytes and 64 KiB', async (t) => {
  const bytes = 128 * 1024;
  const { open, upstream } = await begin(t);
  const { client, socket } = await open(headOf(withKey));
  const start = socket.bytesRead;
  const before = await heldBytes();
  await sendChunks(client, bytes);
  await until(() => socket.bytesRead === start + bytes * chunk.length && socket.readableLength === 0);
  const held = (await heldBytes()) - before;
  t.ok(held <= 2 * bytes + constantBytes, `${held} bytes`);
  t.ok(held >= bytes, 'they are held');
  client.write(`${inChunks(message)}0\r\n\r\n`);
  t.match((await client.answers()).answers, [{ status: 200 }], 'and it is a message as any other');
  t.equal(String(upstream.requests.at(-1)!.body), ' '.repeat(bytes) + message);
});

t.test(
  'one whose credential is still being verified costs what has been read of its connection, and a constant',
  async (t) => {
    const introspection = await startIntrospection();
    t.teardown(introspection.close);
    const answer = introspection.hold();
    const { open, recordsOf, upstream } = await begin(t, {
      authenticators: { partner: introspection.authenticator },
      routes: { '/mcp': { authenticate: { anyOf: ['corp', 'keys', 'partner'] } } },
    });
    const requests = await Promise.all(
      Array.from({ length: 2 }, (_, index) => open(headOf(`Authorization: Bearer unknown-${index}`))),
    );
    const before = await heldBytes();
    const each = await heldOfUnread(requests, before);
    t.ok(each.held <= each.read + 2 * constantBytes, `${each.held} bytes for ${each.read} that were read`);
    answer();
    for (const { client } of requests) {
      const { answers } = await client.answers();
      t.match(answers, [{ status: 401 }]);
      t.match(await recordsOf({ id: answers[0]!.headers['x-request-id']! }), [{ outcome: 'refused', status: 401 }]);
    }
    t.equal(upstream.requests.length, 0);
  },
);

t.test('so does one that is streamed, while its upstream takes nothing', async (t) => {
  const sockets: Socket[] = [];
  const silent = createServer((socket) => void sockets.push(socket));
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.teardown(() => silent.close());
  const { open } = await begin(t, {
    upstreams: {
      silent: { url: `https://127.0.0.1:${(silent.address() as AddressInfo).port}`, timeouts: { connect: '1m' } },
    },
    routes: { '/api/*': { upstream: 'silent' } },
  });
  const requests = await Promise.all(
    Array.from({ length: 2 }, () => open(headOf(withKey, 'Transfer-Encoding: chunked', '/api/x'))),
  );
  const before = await heldBytes();
  const each = await heldOfUnread(requests, before);
  t.ok(each.held <= each.read + 2 * constantBytes, `${each.held} bytes for ${each.read} that were read`);
  for (const socket of sockets) socket.destroy();
});

/** Sends until the gateway reads no more; gives what it has read of each connection, and holds. */
async function heldOfUnread(
  requests: readonly { readonly client: RawConnection; readonly socket: Socket }[],
  before: number,
) {
  for (const { client } of requests) void sendChunks(client, 512 * 1024).catch(() => {});
  for (const { socket } of requests) await untilAtRest(() => socket.bytesRead, 'a connection that is not read');
  const held = Math.round(((await heldBytes()) - before) / requests.length);
  return { held, read: Math.max(...requests.map(({ socket }) => socket.bytesRead)) };
}

const lists = [
  // Also loads and compiles what the others need.
  { type: 'application/json', isFirst: true },
  { type: 'application/json', isFirst: false },
  { type: 'text/event-stream', isFirst: false },
];
for (const { type, isFirst } of lists) {
  t.test(`${isFirst ? 'a' : 'so does a'} list of the upstream that is filtered (${type})`, async (t) => {
    const bytes = 128 * 1024;
    const isJson = type === 'application/json';
    const content = isJson ? ' '.repeat(bytes) : 'data:\n'.repeat(bytes / 6);
    const chunks = Buffer.alloc(content.length * chunk.length, chunk);
    for (let index = 0; index < content.length; index += 1)
      chunks[index * chunk.length + 3] = content.charCodeAt(index);
    const sockets: Socket[] = [];
    const connected = ({ socket }: { readonly socket: Socket }): void => void sockets.push(socket);
    subscribe('undici:client:connected', connected as never);
    t.teardown(() => unsubscribe('undici:client:connected', connected as never));
    const answering = Promise.withResolvers<ServerResponse>();
    const { agent, hold } = await begin(
      t,
      {},
      {
        reply(request, response) {
          if (!String(request.body).includes('tools/list')) return void response.end('{}');
          response.writeHead(200, { 'content-type': type }).flushHeaders();
          answering.resolve(response);
        },
      },
    );
    const asking = hold({ headers: agent.headers, message: { jsonrpc: '2.0', id: 1, method: 'tools/list' } });
    const { socket: upstreamSocket } = await answering.promise;
    const socket = upstreamSocket!;
    const taken = () =>
      sockets.find(({ localPort }) => localPort === socket.remotePort)?.bytesRead === socket.bytesWritten;
    await until(taken);
    const before = await heldBytes();
    socket.write(chunks);
    await until(taken);
    const held = (await heldBytes()) - before;
    if (!isFirst) t.ok(held <= 2 * bytes + constantBytes, `${held} bytes`);
    t.ok(held >= bytes / 2, 'it is held');
    t.equal(chunks.length, content.length * chunk.length, 'which the upstream holds as before');
    const list = JSON.stringify({ jsonrpc: '2.0', id: 1, result: { tools: [{ name: 'list_dashboards' }] } });
    const last = isJson ? list : `data: ${list}\n\n`;
    socket.write(`${last.length.toString(16)}\r\n${last}\r\n0\r\n\r\n`);
    const answer = await asking;
    t.equal(await answer.ended(), 'clean');
    t.equal(answer.text(), content + last);
  });
}

t.test('bodies have a budget, for each caller and in all, which is taken before they are read', async (t) => {
  const scenario = await begin(t, { server: { limits: { bodyBytesPerSubject: '2MiB', bodyBytesInAll: '5MiB' } } });
  const { open, upstream, bearer, recordsOf, metric, agent } = scenario;
  const whole = `Content-Length: ${1024 * 1024}`;
  const tokenOf = async (sub: string) => `Authorization: ${(await bearer({ sub })).authorization}`;
  const [alice, bob] = [await tokenOf('alice'), await tokenOf('bob')];
  for (const credential of [alice, alice, bob, bob]) await open(headOf(credential, whole));
  const refused = async (credential: string, limit: string) => {
    const { client } = await open(headOf(credential, whole));
    const { answers } = await client.answers();
    t.match(answers, [
      { status: 503, headers: { 'retry-after': '1' }, json: { error: { data: { code: 'overloaded' } } } },
    ]);
    t.match(await recordsOf({ id: answers[0]!.headers['x-request-id']! }), [
      { stage: 'completed', outcome: 'refused', status: 503, reason: 'overloaded', detail: { limit } },
    ]);
    t.equal(await metric('portcullis_overloads_total', { limit }), 1);
  };
  await refused(alice, 'body_bytes_per_subject');
  const carol = await open(headOf(await tokenOf('carol'), whole));
  await refused(await tokenOf('dave'), 'body_bytes_in_all');
  carol.client.end();
  await until(async () => (await scenario.status()).openRequests === 4, 'a client that leaves gives its part back');
  t.match(await agent.call('list_dashboards'), { status: 200 }, 'what is left is given to others');
  t.equal(upstream.requests.length, 1);
});

t.test('one whole body always fits, also that of a route with a bodyBytes above the budget of all', async (t) => {
  const limits = { bodyBytes: '1KiB', bodyBytesPerSubject: '1KiB', bodyBytesInAll: '2KiB' };
  const { port, upstream } = await startScenario(t, { server: { limits }, routes: { '/mcp': { bodyBytes: '64KiB' } } });
  const body = ' '.repeat(60_000) + message;
  for (const framing of [`Content-Length: ${body.length}`, 'Transfer-Encoding: chunked']) {
    const sent = framing.startsWith('C') ? body : `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
    t.match(
      (await talk(port, headOf(`${withKey}\r\nConnection: close`, framing) + sent)).text,
      /^HTTP\/1.1 200 /,
      framing,
    );
  }
  t.equal(upstream.requests.length, 2);
});
