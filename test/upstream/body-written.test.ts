// Memory of a forwarded body: given back behind the last write of the connection, and not before.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import t, { type Test } from 'tap';
import { createCertificateAuthority } from '../../src/pki/authority.ts';
import type { ForwardResult } from '../../src/upstream/forward.ts';
import { ask, configOf, startForwarder } from '../support/forwarder.ts';
import { startUpstream } from '../support/upstream.ts';

const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const authority = await createCertificateAuthority();
const { certificatePem, keyPem } = await authority.issue({ commonName: 'upstream', ips: ['127.0.0.1'], server: true });
const tls = { cert: certificatePem, key: keyPem };
const files = new Map([['ca.crt', Buffer.from(authority.certificatePem)]]);

async function startTo(t: Test, url: string) {
  const isTls = url.startsWith('https:');
  const forwarder = await startForwarder(configOf(url, { upstream: isTls ? { tls: { caFile: 'ca.crt' } } : {} }), {
    files,
  });
  t.teardown(forwarder.close);
  const wasWritten = (): boolean => (forwarder.results.at(-1) as ForwardResult).bodyWritten;
  return {
    post: (body: Buffer) => ask(forwarder.port, { method: 'POST', body }),
    settled: forwarder.settled,
    wasWritten,
  };
}

for (const isTls of [false, true]) {
  const over = isTls ? ', over TLS' : '';

  t.test(`bodies of many sizes at once, on connections that are used again, arrive unchanged${over}`, async (t) => {
    const upstream = await startUpstream(isTls ? { tls } : {});
    t.teardown(upstream.close);
    const { post, settled, wasWritten } = await startTo(t, upstream.url);
    const sizes = [1, 4096, 5000, 16_384, 65_535, 65_536, 300_000, 1024 * 1024, 4 * 1024 * 1024];
    const rounds = 3;
    for (let round = 0; round < rounds; round += 1) {
      const bodies = sizes.map((bytes) => randomBytes(bytes));
      await Promise.all(bodies.map(post));
      const received = upstream.requests.slice(round * sizes.length).map(({ body }) => digest(body));
      t.same(received.sort(), bodies.map(digest).sort());
    }
    await post(randomBytes(5000));
    await settled(rounds * sizes.length + 1);
    t.equal(wasWritten(), true, 'a small one is written long before its answer ends');
  });

  t.test(`a body that is answered before the upstream has taken it is not given back${over}`, async (t) => {
    const received: Buffer[] = [];
    const begun = Promise.withResolvers<Socket>();
    const serve = (socket: Socket): void => {
      socket.on('error', () => {}).on('data', (chunk) => received.push(chunk));
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}');
        socket.pause();
        begun.resolve(socket);
      });
    };
    const server = isTls ? createTlsServer(tls, serve) : createServer(serve);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.teardown(() => server.close());
    const { port } = server.address() as AddressInfo;
    const { post, settled, wasWritten } = await startTo(t, `http${isTls ? 's' : ''}://127.0.0.1:${port}`);
    const body = randomBytes(12 * 1024 * 1024);
    t.match(await post(body), { status: 200 });
    await settled(1);
    t.equal(wasWritten(), false);
    const socket = await begun.promise;
    const closed = once(socket, 'close');
    socket.resume();
    await closed;
    const sent = Buffer.concat(received);
    const part = sent.subarray(sent.indexOf('\r\n\r\n') + 4);
    t.ok(part.length > 0 && part.equals(body.subarray(0, part.length)), 'what came of it is unchanged');
  });
}
