// Connections to the upstream under load: they are kept, also behind requests that are larger than a socket takes at once.
import { strict as assert } from 'node:assert';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { allowedCall, createRig } from './rig.ts';

const clients = 16;
const calls = 1500;
/** Of the calls: what a socket still queues when a large request is answered is a chance of the machine. */
const closedShare = 0.02;

for (const bytes of [1024, 96 * 1024]) {
  test(`${calls} calls of ${bytes} bytes from ${clients} clients share their connections to the upstream`, async () => {
    const sockets = new Set<Socket>();
    const done = new AbortController();
    let answered = 0;
    const rig = await createRig({
      tls: true,
      answer(request, response) {
        sockets.add(request.socket);
        request.resume().on('end', () => {
          response.writeHead(200, { 'content-type': 'application/json' });
          response.end('{"jsonrpc":"2.0","id":1,"result":{"content":[]}}');
          answered += 1;
          if (answered === calls) done.abort();
        });
      },
    });
    try {
      await rig.start();
      const body = allowedCall.replace('"request":{}', `"request":{"note":"${'x'.repeat(bytes)}"}`);
      const { failures } = await rig.load({ connections: clients, signal: done.signal, body });
      assert.deepEqual(failures, []);
      assert.ok(answered >= calls);
      assert.ok(sockets.size <= clients + calls * closedShare, `${sockets.size} connections for ${answered} calls`);
    } finally {
      await rig.close();
    }
  });
}
