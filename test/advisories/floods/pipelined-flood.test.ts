// Attack: one client sends thousands of requests on each of a few connections at once, and never reads an answer, so that all of them are under
// way at the same time. Row B2 of faults.md.
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import t, { type Test } from 'tap';
import { host, request, withKey } from '../../support/attack.ts';
import { type Scenario, startScenario } from '../../support/scenario.ts';
import { until, untilAtRest } from '../../support/until.ts';
import type { RecordedRequest } from '../../support/upstream.ts';

const connections = 4;
const limits = { concurrency: 64, concurrencyPerClient: 64 };

/** Sends the requests of one connection, and keeps the answers. */
function pipeline({ port, certificates }: Scenario, requests: readonly string[]) {
  const ca = certificates?.authority.certificatePem;
  const socket: Socket =
    ca === undefined ? connectTcp(port, '127.0.0.1') : connectTls({ port, ca, servername: 'mcp.example.com' });
  const chunks: Buffer[] = [];
  socket.write(requests.join(''));
  return {
    socket,
    /** Reads until `last` has come. */
    async readTo(last: string): Promise<string> {
      socket.on('data', (chunk: Buffer) => chunks.push(chunk));
      await until(() => Buffer.concat(chunks.slice(-3)).includes(last), last, 60_000);
      return Buffer.concat(chunks).toString();
    },
  };
}

/** Which requests of a connection were answered, in the order of the answers. */
const answered = (text: string) => [...text.matchAll(/<(\d+)>/g)].map(([, index]) => Number(index));
const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);

async function flood(t: Test, count: number, tls: boolean): Promise<void> {
  const waiting = new Map<string, (() => void)[]>();
  let holding = true;
  let most = 0;
  const reply = (received: RecordedRequest, response: ServerResponse): void => {
    const [, , connection, index] = received.url.split('/');
    const own = waiting.get(connection!) ?? [];
    waiting.set(connection!, own);
    own.push(() => response.end(`<${index}>`));
    most = Math.max(most, own.length);
    if (!holding) setImmediate(() => own.shift()!());
  };
  const scenario = await startScenario(t, { upstreams: { superset: { limits } } }, { reply, tls });
  const clients = numbers(connections).map((connection) =>
    pipeline(
      scenario,
      numbers(count).map((index) => request(`GET /open/${connection}/${index}`, [host])),
    ),
  );
  const { upstream } = scenario;
  await upstream.received(8 * connections);
  await untilAtRest(() => upstream.requests.length, 'the upstream');
  t.equal(upstream.requests.length, 8 * connections, '8 of each connection, and no more while they are not answered');
  holding = false;
  for (const own of waiting.values()) for (const answer of own.splice(0)) answer();
  for (const client of clients) {
    t.strictSame(answered(await client.readTo(`<${count - 1}>`)), numbers(count), 'all are answered, in their order');
    client.socket.destroy();
  }
  t.equal(most, 8);
}

t.test('4 connections with 1,000 pipelined requests each: 8 of each are under way', (t) => flood(t, 1000, false));
t.test('the same over TLS', (t) => flood(t, 200, true));

t.test('thousands of pipelined requests whose answers are never read', async (t) => {
  const text = 'x'.repeat(100_000);
  const path = '/large';
  const scenario = await startScenario(t, {
    routes: { [path]: { authenticate: 'none', upstream: undefined, respond: { json: { text } } } },
  });
  const clients = numbers(connections).map(() => pipeline(scenario, Array(2500).fill(request(`GET ${path}`))));
  const open = async () => (await scenario.status()).openRequests;
  const recorded = async () => (await scenario.records()).length;
  await until(async () => (await open()) === 8 * connections, '8 of each connection are under way');
  await untilAtRest(recorded, 'the number of records');
  t.equal(await open(), 8 * connections);
  t.ok((await recorded()) < 1000 * connections, 'no more are taken while the answers are not read');
  for (const { socket } of clients) socket.destroy();
  await until(async () => (await open()) === 0, 'nothing is left of them');
});

t.test(
  'pipelined requests that the gateway answers by itself, refusals too, are answered in their order',
  async (t) => {
    const scenario = await startScenario(t, { server: { limits: { requestsPerConnection: 2 } } });
    const kinds: [string, number][] = [
      [request('GET /health'), 200],
      [request('GET /nowhere'), 404],
      [request('GET /api/x', [host]), 401],
      [request('PROPFIND /health'), 405],
      [request('GET /.well-known/oauth-protected-resource/mcp', [host]), 200],
      [request('POST /api/x', [host, 'Content-Length: 3'], 'abc'), 401],
      [request('POST /mcp', [host, withKey, 'Content-Type: text/plain', 'Content-Length: 3'], '{}\n'), 415],
    ];
    const rounds = 60;
    const all = numbers(rounds).flatMap(() => kinds);
    const last = request('GET /open/x', [host, 'Connection: close']);
    const { socket, readTo } = pipeline(scenario, [...all.map(([bytes]) => bytes), last]);
    const closed = once(socket, 'close');
    const read = readTo('"resourceTemplates"');
    await closed;
    t.strictSame(
      [...(await read).matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status)),
      [...all.map(([, status]) => status), 200],
    );
    t.equal(scenario.upstream.requests.length, 1);
  },
);
