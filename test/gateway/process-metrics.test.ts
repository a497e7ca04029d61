// Metrics of the process: event loop delay and pauses of the garbage collector; dashboard, alert rules and documentation name metrics that exist.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { createMetrics } from '../../src/metrics/metrics.ts';
import { sumMetrics } from '../../src/metrics/sum.ts';
import { createSupervisorMetrics } from '../../src/workers/metrics.ts';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';

const root = join(import.meta.dirname, '../..');

t.test('three full collections in one turn of the event loop are three pauses', async (t) => {
  const { metric } = await startScenario(t, {}, { inject: true });
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const count = () => metric('nodejs_gc_duration_seconds_count', { kind: 'major' });
  const before = await count();
  for (let collections = 0; collections < 3; collections++) collect();
  await until(async () => (await count()) - before >= 3, 'three more pauses');
  t.ok((await metric('nodejs_gc_duration_seconds_sum', { kind: 'major' })) > 0);
});

t.test('the delay of the event loop is a metric', async (t) => {
  const { metric } = await startScenario(t, {}, { inject: true });
  // The first interval of the measurement must have passed.
  await until(async () => (await metric('nodejs_eventloop_lag_p99_seconds')) > 0, 'a delay');
});

t.test(
  'without `state` there is no portcullis_state_available, in one process and in the sum of workers',
  async (t) => {
    const { metrics } = await startScenario(t, {}, { inject: true });
    t.same(zeroGauges(await metrics()), ['portcullis_revocation_entries'], 'nothing that is off looks broken');
    const source = { keySets: [], certificates: [], revocationLists: [], apiKeys: [], probes: [] };
    const workers = [createMetrics('test'), createMetrics('test')];
    const sum = async () =>
      zeroGauges(await sumMetrics(await Promise.all(workers.map((worker) => worker.values(source)))).metrics());
    t.same(await sum(), ['portcullis_revocation_entries'], 'nor before a configuration is in force');
    workers[0]!.stateAvailable(true);
    workers[1]!.stateAvailable(false);
    t.same(await sum(), ['portcullis_revocation_entries', 'portcullis_state_available'], 'one worker cannot reach it');
  },
);

for (const file of [
  'deploy/grafana/portcullis.json',
  'deploy/prometheus/portcullis.rules.yml',
  'docs/configuration.md',
  'docs/operations.md',
]) {
  t.test(`${file} names metrics that are exposed`, async (t) => {
    const { metrics } = await startScenario(t, {}, { inject: true });
    const exposed = exposedNames(await metrics());
    for (const { name } of await createSupervisorMetrics().values()) exposed.add(name);
    const named = await namesIn(file);
    t.ok(named.length > 0);
    t.same(
      named.filter((name) => !exposed.has(name)),
      [],
    );
  });
}

t.test('the dashboard shows the delay of the event loop, the pauses, and log-ins to the console', async (t) => {
  const named = await namesIn('deploy/grafana/portcullis.json');
  for (const name of [
    'nodejs_eventloop_lag_p99_seconds',
    'nodejs_gc_duration_seconds_bucket',
    'portcullis_logins_total',
  ])
    t.ok(named.includes(name));
});

async function namesIn(file: string): Promise<string[]> {
  const text = await readFile(join(root, file), 'utf8');
  return [...new Set(text.match(/\b(?:portcullis|process|nodejs)_[a-z0-9_]+\b/g))];
}

/** Gauges of the gateway that a scrape shows as 0. */
function zeroGauges(scrape: string): string[] {
  const gauges = new Set([...scrape.matchAll(/^# TYPE (portcullis_\S+) gauge$/gm)].map(([, name]) => name!));
  return [...scrape.matchAll(/^(\w+)(?:\{.*\})? 0$/gm)]
    .map(([, name]) => name!)
    .filter((name) => gauges.has(name))
    .sort();
}

/** Every metric by its name, and the series of each histogram, also before anything is counted. */
function exposedNames(scrape: string): Set<string> {
  const names = [...scrape.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name, type]) =>
    type === 'histogram' ? [name!, `${name}_bucket`, `${name}_sum`, `${name}_count`] : [name!],
  );
  return new Set(names);
}
