// Survivors of scavenges behind a full collection: a request leaves next to nothing that the collector must copy.
// A Set or Map whose members come and go fails this: each rehash leaves an old table in the old generation, which keeps all requests of that moment.
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { until } from '../support/until.ts';
import { createRig } from './rig.ts';

/** Measured: 330 to 630 bytes a request, and 13,000 to 15,000 where open requests stand in a Set. */
const maxSurvivingBytes = 3000;
const collectOnSignal = "--import=data:text/javascript,process.on('SIGUSR2',()=>gc())";

test('behind a full collection under load, what survives scavenges stays below 3,000 bytes a request', {
  timeout: 180_000,
}, async () => {
  const rig = await createRig();
  try {
    let trace = '';
    const gateway = await rig.start({
      nodeOptions: ['--expose-gc', '--trace-gc-nvp', collectOnSignal],
      onOutput: (text) => {
        trace += text;
      },
    });
    const stop = new AbortController();
    const running = rig.load({ connections: 16, signal: stop.signal });
    const requests = async (count: number): Promise<number> => {
      const before = rig.seen.length;
      await until(() => rig.seen.length - before >= count, `${count} requests`, 60_000);
      return rig.seen.length - before;
    };
    await requests(10_000);
    trace = '';
    gateway.kill('SIGUSR2');
    await until(() => / gc=mc /.test(trace), 'the full collection');
    trace = '';
    const count = await requests(20_000);
    // The last line may still be on its way.
    const scavenges = trace
      .split('\n')
      .slice(0, -1)
      .filter((line) => / gc=s /.test(line));
    stop.abort();
    assert.deepEqual((await running).failures, []);

    assert.ok(scavenges.length >= 5, `${scavenges.length} scavenges`);
    const bytes = scavenges.reduce(
      (sum, line) => sum + numberOf(line, 'new_space_survived') + numberOf(line, 'promoted'),
      0,
    );
    const each = Math.round(bytes / count);
    console.log(`${each} bytes a request in ${scavenges.length} scavenges of ${count} requests`);
    assert.ok(each <= maxSurvivingBytes, `${each} bytes a request`);
  } finally {
    await rig.close();
  }
});

/** A figure of a line of V8's trace; fails where this V8 prints none. */
function numberOf(line: string, name: string): number {
  const figure = new RegExp(` ${name}=(\\d+)`).exec(line)?.[1];
  assert.ok(figure !== undefined, `V8 prints ${name}`);
  return Number(figure);
}
