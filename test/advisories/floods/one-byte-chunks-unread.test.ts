import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import t from 'tap';
import { pipeline } from '../../../src/gateway/request/pipeline.ts';
import { withKey } from '../../support/attack.ts';
import { heldBytes } from '../../support/memory.ts';
import { constantBytes, headOf, inChunks, message, sendChunks, startAtRest } from '../../support/one-byte-chunks.ts';
import { type RawConnection, talk } from '../../support/raw-http.ts';
import { startScenario } from '../../support/scenario.ts';
import { untilAtRest } from '../../support/until.ts';

t.test('what the first requests of a process load and compile stays', async (t) => {
  const body = ' '.repeat(15_000) + message;
  const { port } = await startScenario(t);
  t.match((await talk(port, `${headOf(withKey)}${inChunks(body)}0\r\n\r\n`)).text, /^HTTP\/1.1 200 /);
});

t.test(
  'one whose credential is still being verified costs what has been read of its connection, and a constant',
  async (t) => {
    const verifying = Promise.withResolvers<void>();
    const onRequest = pipeline.onRequest.map((step) => {
      if (step.name !== 'authenticate' || !('wait' in step)) return step;
      return { ...step, wait: (...of: Parameters<typeof step.wait>) => verifying.promise.then(() => step.wait(...of)) };
    });
    const { open, recordsOf, upstream } = await startAtRest(t, {}, { pipeline: { ...pipeline, onRequest } });
    const requests = await Promise.all(
      Array.from({ length: 2 }, (_, index) => open(headOf(`Authorization: Bearer unknown-${index}`))),
    );
    const before = await heldBytes();
    const each = await heldOfUnread(requests, before);
    t.ok(each.held <= each.read + 2 * constantBytes, `${each.held} bytes for ${each.read} that were read`);
    verifying.resolve();
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
  const { open } = await startAtRest(t, {
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
  for (const { client } of requests) void sendChunks(client.socket, 512 * 1024).catch(() => {});
  for (const { socket } of requests) await untilAtRest(() => socket.bytesRead, 'a connection that is not read');
  const held = Math.round(((await heldBytes()) - before) / requests.length);
  return { held, read: Math.max(...requests.map(({ socket }) => socket.bytesRead)) };
}
