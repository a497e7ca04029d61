// SIGTERM under load: what was sent is answered, connections that come late are served, the exit code is 0.
import { strict as assert } from 'node:assert';
import { once } from 'node:events';
import { test } from 'node:test';
import { until } from '../support/until.ts';
import { createRig } from './rig.ts';

test('SIGTERM under load fails no request', { timeout: 180_000 }, async () => {
  // It serves on for half of drainTimeout, five seconds at most: time enough for the twenty late clients on a busy machine.
  const rig = await createRig({ changes: { server: { drainTimeout: '30s' } } });
  try {
    const gateway = await rig.start();
    const running = rig.load({ connections: 16, signal: AbortSignal.timeout(120_000), stopWhenClosing: true });
    await until(() => rig.seen.length > 1000, 'a thousand requests');
    const exit = once(gateway, 'exit');
    gateway.kill('SIGTERM');
    const { answered, failures } = await running;
    assert.equal((await fetch(`${rig.adminUrl}/readyz`)).status, 503, 'not ready as soon as it drains');
    const late = await Promise.all(
      Array.from({ length: 20 }, () =>
        rig.load({ connections: 1, signal: AbortSignal.timeout(30_000), stopWhenClosing: true }),
      ),
    );
    const [code] = await exit;
    assert.equal(code, 0);
    for (const each of [{ answered, failures }, ...late]) {
      assert.deepEqual(each.failures, []);
      assert.deepEqual([...each.answered.keys()], [200]);
    }
  } finally {
    await rig.close();
  }
});
