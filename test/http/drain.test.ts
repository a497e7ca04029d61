// Drain of a listener whose socket another process shares: connections that are open are served to their end, and no new one is taken.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { drain } from '../../src/http/connection/drain.ts';

async function start(t: Test) {
  let open = 0;
  const stopping = new AbortController();
  const server = createServer((_request, response) => {
    open += 1;
    response.on('close', () => {
      open -= 1;
    });
    response.end('served');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  t.teardown(() => {
    stopping.abort();
    server.closeAllConnections();
    server.close();
  });
  let connections = 0;
  server.on('connection', (socket) => {
    connections += 1;
    socket.on('close', () => {
      connections -= 1;
    });
  });
  const options = {
    drainTimeoutMs: 60_000,
    lameDuckMs: 0,
    openRequests: () => open,
    sharedConnections: () => connections,
  };
  return { port, drained: () => drain(server, { ...options, signal: stopping.signal }) };
}

async function call(socket: Socket, connection = 'keep-alive'): Promise<string> {
  socket.write(`GET / HTTP/1.1\r\nhost: x\r\nconnection: ${connection}\r\n\r\n`);
  return String(await once(socket, 'data'));
}

t.test(
  'a request on a connection that was idle at the stop is answered, and the drain ends with the last connection',
  async (t) => {
    const { drained, port } = await start(t);
    const idle = connect(port, '127.0.0.1');
    t.match(await call(idle), /served/);
    const silent = connect(port, '127.0.0.1');
    await once(silent, 'connect');
    t.match(await call(idle), /served/, 'the one behind it is accepted');
    const done = drained();
    const late = connect(port, '127.0.0.1');
    await t.rejects(once(late, 'connect'), { code: 'ECONNREFUSED' }, 'the socket is closed here: nobody else has it');
    t.match(await call(silent), /served/, 'its first request comes after the stop');
    t.match(await call(idle, 'close'), /served/);
    silent.destroy();
    await done;
  },
);
