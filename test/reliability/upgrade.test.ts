// Upgrades in place under load: a new process takes the sockets over, the old one is stopped, and no client notices.
import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { holdSocket } from '../support/held-socket.ts';
import { createRig, decidedIds } from './rig.ts';

/** `UPGRADES=20` for the long form. */
const upgrades = Number(process.env.UPGRADES ?? 4);

for (const workers of [1, 2])
  test(`${upgrades} upgrades in place with server.workers ${workers}: nothing is refused, nothing fails, the chains are whole`, {
    timeout: 600_000,
  }, async () => {
    const rig = await createRig({
      tls: true,
      changes: { server: { workers } },
      answer(request, response) {
        const slow = rig.seen.length % 16 === 0;
        request.resume().on('end', () => {
          response.writeHead(200, { 'content-type': 'application/json' });
          setTimeout(() => response.end('{"jsonrpc":"2.0","id":1,"result":{"content":[]}}'), slow ? 300 : 0);
        });
      },
    });
    const ending = new AbortController();
    try {
      const sockets = [rig.adminUrl, rig.publicUrl].map((url) => holdSocket('127.0.0.1', Number(new URL(url).port)));
      const pair = [sockets[0]!, sockets[1]!] as const;
      let gateway = await rig.startInherited(pair);
      const { signal } = ending;
      const loads = Promise.all([
        rig.load({ connections: 4, signal, newConnections: true }),
        rig.load({ connections: 4, signal }),
        rig.load({ connections: 8, signal, thinkMs: 400 }),
      ]);
      for (let done = 0; done < upgrades; done += 1) {
        const next = await rig.startInherited(pair);
        const exit = once(gateway, 'exit');
        gateway.kill('SIGTERM');
        assert.equal((await exit)[0], 0);
        gateway = next;
      }
      ending.abort();
      for (const { answered, failures } of await loads) {
        assert.deepEqual(failures, []);
        assert.deepEqual([...answered.keys()], [200]);
      }
      const exit = once(gateway, 'exit');
      gateway.kill('SIGTERM');
      await exit;
      const files = await rig.auditFiles();
      const { ids } = await decidedIds(files);
      assert.deepEqual(
        rig.seen.filter((id) => !ids.has(id)),
        [],
        'each request that the upstream saw was recorded before',
      );
      const verified = spawnSync(process.execPath, ['dist/main.js', 'audit', 'verify', ...files], { encoding: 'utf8' });
      assert.equal(verified.status, 0, verified.stdout + verified.stderr);
      for (const socket of sockets) socket.close();
    } finally {
      ending.abort();
      await rig.close();
    }
  });
