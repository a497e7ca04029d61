// A large request that the upstream answers before it has taken all of it: the connection went to the next caller, who waited behind the rest.

import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import t from 'tap';
import { createCertificateAuthority } from '../../src/pki/authority.ts';
import { startScenario } from '../support/scenario.ts';
import { startUpstream } from '../support/upstream.ts';

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

for (const isTls of [false, true]) {
  t.test(
    `requests small and large that are taken whole keep their connection${isTls ? ', over TLS' : ''}`,
    async (t) => {
      const authority = await createCertificateAuthority();
      const { certificatePem, keyPem } = await authority.issue({
        commonName: 'upstream',
        ips: ['127.0.0.1'],
        server: true,
      });
      const upstream = await startUpstream(isTls ? { tls: { cert: certificatePem, key: keyPem } } : {});
      t.teardown(upstream.close);
      const { agent } = await startScenario(
        t,
        { ...(isTls && { upstreams: { superset: { tls: { caFile: 'upstream-ca.crt' } } } }) },
        { upstream, files: { 'upstream-ca.crt': authority.certificatePem } },
      );
      for (const bytes of [10, 100_000, 10, 1_000_000, 10, 500_000, 10])
        t.match(await agent.call('list_dashboards', { padding: 'x'.repeat(bytes) }), { status: 200 });
      t.equal(upstream.connections(), 1);
    },
  );
}
