// 200 reloads under load, a quarter of them broken: no request fails, and each decision is the old one or the new one.
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { listDashboards } from '../support/configuration.ts';
import { until } from '../support/until.ts';
import { createRig } from './rig.ts';

const reloads = 200;

test(`${reloads} reloads under load fail no request`, { timeout: 180_000 }, async () => {
  const rig = await createRig();
  try {
    const gateway = await rig.start();
    const stop = new AbortController();
    const running = rig.load({ connections: 8, signal: stop.signal });
    const status = async () => (await (await fetch(`${rig.adminUrl}/status`)).json()) as { policy: string };
    const lastReload = async () =>
      /^portcullis_config_last_reload_success (\d)/m.exec(await (await fetch(`${rig.adminUrl}/metrics`)).text())?.[1];
    let live = (await status()).policy;
    for (let round = 0; round < reloads; round++) {
      const broken = round % 4 === 3;
      if (broken) await rig.breakConfiguration();
      else await rig.configure([listDashboards, { name: `round-${round}`, deny: { tools: [`none-${round}`] } }]);
      gateway.kill('SIGHUP');
      await until(async () => (broken ? (await lastReload()) === '0' : (await status()).policy !== live));
      const now = (await status()).policy;
      if (broken) assert.equal(now, live, 'a broken file changes nothing');
      live = now;
    }
    stop.abort();
    const { answered, failures } = await running;
    assert.deepEqual(failures, []);
    assert.deepEqual([...answered.keys()], [200]);
    assert.ok(answered.get(200)! > reloads, `${answered.get(200)} requests were answered`);
  } finally {
    await rig.close();
  }
});
