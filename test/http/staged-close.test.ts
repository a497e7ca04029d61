// Staged close (RFC 9112 §9.6): a client that sends a large upload whole before it reads gets the answer of an early refusal (row D6).
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';
import t from 'tap';
import { host, withKey } from '../support/attack.ts';
import { rawRequest } from '../support/raw-http.ts';
import { type Scenario, startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';

const megabyte = Buffer.alloc(1024 * 1024, 'x');
const connectionsOf = ({ gateway }: Scenario) =>
  promisify(gateway.app.server.getConnections.bind(gateway.app.server))();
const json = 'Content-Type: application/json';

for (const tls of [true, false]) {
  const scenario = await startScenario(t, {}, { tls });
  const open = (): Socket => {
    const { certificates, port } = scenario;
    const ca = certificates?.authority.certificatePem;
    const options = { port, host: '127.0.0.1', allowHalfOpen: true };
    return ca === undefined ? connectTcp(options) : connectTls({ ...options, ca, servername: 'mcp.example.com' });
  };

  /** Sends all of it before it reads anything, and gives what it then reads. */
  async function upload(head: readonly string[], parts: readonly Buffer[]): Promise<string> {
    const socket = open();
    socket.pause();
    socket.write(rawRequest(head));
    for (const part of parts) if (!socket.write(part)) await once(socket, 'drain');
    let text = '';
    for await (const chunk of socket) text += chunk;
    socket.end();
    return text;
  }

  const length = `Content-Length: ${12 * megabyte.length}`;
  const chunked = Array(12).fill(Buffer.concat([Buffer.from('100000\r\n'), megabyte, Buffer.from('\r\n')]));
  const refusals: [status: number, head: string[], parts?: Buffer[]][] = [
    [401, ['POST /mcp HTTP/1.1', host, json, length]],
    [401, ['POST /api/x HTTP/1.1', host, length]],
    [413, ['POST /mcp HTTP/1.1', host, withKey, json, length]],
    [413, ['POST /api/x HTTP/1.1', host, withKey, length]],
    [413, ['POST /mcp HTTP/1.1', host, withKey, json, 'Transfer-Encoding: chunked'], chunked],
    [413, ['POST /open/x HTTP/1.1', host, 'Transfer-Encoding: chunked'], chunked],
    [421, ['POST /mcp HTTP/1.1', 'Host: other.example', withKey, json, length]],
    [404, ['POST /nowhere HTTP/1.1', host, length]],
    [400, ['POST /api//x HTTP/1.1', host, length]],
    [400, ['POST /api/x HTTP/1.1', host, 'not a header', length]],
  ];

  t.test(`12 MiB that are refused at their beginning, over ${tls ? 'TLS' : 'TCP'}`, async (t) => {
    for (const [status, head, parts = Array(12).fill(megabyte)] of refusals) {
      const text = await upload(head, parts);
      t.match(text, new RegExp(`^HTTP/1.1 ${status} [^]*\r\nconnection: close\r\n[^]*}$`, 'i'), `${status} ${head[0]}`);
    }
    t.equal(scenario.upstream.requests.length, 0);
  });

  t.test(`what is read and dropped has a bound, over ${tls ? 'TLS' : 'TCP'}`, async (t) => {
    const head = rawRequest(['POST /mcp HTTP/1.1', host, json, 'Content-Length: 999999999999']);
    const endless = open();
    const closed = new Promise((resolve) => endless.on('error', () => {}).on('close', resolve));
    endless.write(head);
    let sent = 0;
    const pump = (): void => {
      while (!endless.destroyed && endless.write(megabyte)) sent += 1;
    };
    endless.on('drain', pump);
    pump();
    await closed;
    t.ok(sent < 200, `in bytes: ${sent} MiB`);

    await scenario.reload({ server: { limits: { receiveTimeout: '200ms' } } });
    const silent = open();
    silent.on('error', () => {}).resume();
    silent.write(head);
    await until(() => silent.readableEnded, 'the answer has come');
    await until(async () => (await connectionsOf(scenario)) === 0, 'and in time');
  });
}
