// Attack: connections that say nothing, or half of a TLS hello, are held until there is no room for anybody else. Row B5 of faults.md: a handshake
// has its time, and an address its number of connections, which are counted before the handshake.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import t from 'tap';
import { host, request } from '../../support/attack.ts';
import { type Scenario, startScenario } from '../../support/scenario.ts';
import { until } from '../../support/until.ts';

/** The first bytes of a ClientHello. */
const halfHello = Buffer.from('16030102000100', 'hex');

async function open(port: number, from = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', localAddress: from });
  socket.on('error', () => {}).resume();
  await once(socket, 'connect');
  return socket;
}

const refused = (scenario: Scenario, status: string) =>
  scenario.metric('portcullis_requests_total', { route: 'none', outcome: 'refused', status });

t.test('silent connections and half a TLS hello end with receiveTimeout', async (t) => {
  const scenario = await startScenario(t, { server: { limits: { receiveTimeout: '300ms' } } }, { tls: true });
  const silent = await open(scenario.port);
  const half = await open(scenario.port);
  half.write(halfHello);
  const dripping = await open(scenario.port);
  const drip = setInterval(() => dripping.write(halfHello.subarray(0, 1)), 50);
  await Promise.all([silent, half, dripping].map((socket) => socket.closed || once(socket, 'close')));
  clearInterval(drip);
  await until(async () => (await refused(scenario, 'tls_handshake')) === 3, 'each is counted');
  t.equal((await scenario.agent.send({ path: '/health' })).status, 200, 'who shakes hands in time is served');
});

t.test('connections that send nothing, or half a head, behind their handshake', async (t) => {
  const scenario = await startScenario(t, { server: { limits: { receiveTimeout: '300ms' } } }, { tls: true });
  const ca = scenario.certificates!.authority.certificatePem;
  const sockets = ['', 'GET /health HT'].map((bytes) => {
    const socket = connectTls({ port: scenario.port, ca, servername: 'mcp.example.com' });
    socket.on('error', () => {}).resume();
    socket.write(bytes);
    return socket;
  });
  await Promise.all(sockets.map((socket) => socket.closed || once(socket, 'close')));
  await until(async () => (await refused(scenario, 'request_timeout')) === 2, 'each is counted');
});

t.test('the connections of an address have a limit, and what is above it is closed at once', async (t) => {
  const scenario = await startScenario(
    t,
    { server: { limits: { connectionsPerAddress: 3 } } },
    { tls: true, logToFile: true },
  );
  const { port } = scenario;
  const held = await Promise.all([1, 2, 3].map(() => open(port, '127.0.0.2')));
  await until(async () => (await connectionsOf(scenario)) >= 3);
  for (let index = 0; index < 5; index += 1) {
    const above = await open(port, '127.0.0.2');
    await (above.closed || once(above, 'close'));
  }
  t.equal(await refused(scenario, 'connections_per_address'), 5);
  t.equal(await refused(scenario, 'tls_handshake'), 0, 'none of them came to a handshake');
  t.equal((await scenario.agent.send({ path: '/health' })).status, 200, 'other addresses are served');
  const lines = (await scenario.log()).split('\n').filter((line) => line.includes('connectionsPerAddress'));
  t.equal(lines.length, 1, 'one line for all of them');
  t.match(lines[0], '"address":"127.0.0.2"');

  held.pop()!.destroy();
  const next = await open(port, '127.0.0.2');
  next.write(halfHello);
  await until(async () => (await connectionsOf(scenario)) >= 3, 'one that leaves makes room');
  t.equal(next.destroyed, false);

  await scenario.reload({ server: { limits: { connectionsPerAddress: 3 }, trustedProxies: ['127.0.0.2'] } });
  const hops = await Promise.all([1, 2, 3, 4].map(() => open(port, '127.0.0.2')));
  const last = connectTls({
    ...{ port, host: '127.0.0.1', localAddress: '127.0.0.2', servername: 'mcp.example.com' },
    ca: scenario.certificates!.authority.certificatePem,
  });
  last.write(request('GET /health', [host, 'Connection: close']));
  const [answer] = await once(last, 'data');
  t.match(String(answer), /^HTTP\/1.1 200 /, 'the clients of a trusted proxy share its address');
  for (const socket of [...held, ...hops, next, last]) socket.destroy();
});

function connectionsOf({ gateway }: Scenario): Promise<number> {
  return new Promise((resolve, reject) =>
    gateway.app.server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
  );
}
