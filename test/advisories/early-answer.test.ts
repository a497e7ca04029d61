// A large request that the upstream answers before it has taken all of it: the connection went to the next caller, who waited behind the rest.
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import t from 'tap';
import { startScenario } from '../support/scenario.ts';

t.test('the connection of a request that was answered early is closed, and the next caller has another', async (t) => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on('error', () => {}));
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}');
      socket.pause();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { agent } = await startScenario(t, {
    server: { limits: { bodyBytes: '16MiB' } },
    upstreams: { superset: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` } },
  });
  const padding = 'x'.repeat(12 * 1024 * 1024);
  t.match(await agent.call('list_dashboards', { padding }), { status: 200 });
  t.match(await agent.call('list_dashboards'), { status: 200 });
  t.equal(sockets.length, 2);
});
