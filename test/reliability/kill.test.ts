// `kill -9` at random moments under load: whatever the upstream saw has its record, and the chain goes on over the restarts.
import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import { until } from '../support/until.ts';
import { createRig, decidedIds } from './rig.ts';

const kills = 25;

test(`${kills} kills under load lose no record`, { timeout: 180_000 }, async () => {
  const rig = await createRig();
  try {
    for (let round = 0; round < kills; round++) {
      const gateway = await rig.start();
      const stop = new AbortController();
      const running = rig.load({ connections: 8, signal: stop.signal });
      const seen = rig.seen.length + randomInt(10, 600);
      await until(() => rig.seen.length >= seen);
      gateway.kill('SIGKILL');
      await once(gateway, 'exit');
      stop.abort();
      await running;
    }
    const last = await rig.start();
    last.kill('SIGINT');
    const [code] = await once(last, 'exit');
    assert.equal(code, 0);
    const files = await rig.auditFiles();
    const { ids } = await decidedIds(files);
    const unrecorded = rig.seen.filter((id) => !ids.has(id));
    assert.ok(rig.seen.length > kills * 10, `the upstream saw ${rig.seen.length} requests`);
    assert.deepEqual(unrecorded, []);
    const verify = spawnSync(process.execPath, ['dist/main.js', 'audit', 'verify', ...files], { encoding: 'utf8' });
    assert.equal(verify.status, 0, verify.stdout + verify.stderr);
  } finally {
    await rig.close();
  }
});
