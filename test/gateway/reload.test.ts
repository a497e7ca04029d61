// A reload as an operator sees it: all of it comes into force, or nothing of it does but the record of its refusal.
import { existsSync } from 'node:fs';
import { readdir, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createTestCertificates } from '../support/certificates.ts';
import type { AuditRecord } from '../support/gateway.ts';
import { readJsonLines } from '../support/json-lines.ts';
import { type Surroundings, startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';
import { startUpstream } from '../support/upstream.ts';

const certificates = await createTestCertificates();
const sinkTo = (path: string) => ({ audit: { sinks: [{ type: 'file', path, fsync: 'never' }] } });

/** A gateway that answers a probe by itself, and asks no issuer. */
const begin = (t: Test, surroundings: Surroundings = {}) =>
  startScenario(
    t,
    {
      authenticators: { corp: undefined },
      routes: [{ path: '/health', authenticate: 'none', respond: { text: 'ok' } }],
    },
    surroundings,
  );

t.test(
  'a reload that is refused for its certificate, and would change the audit, leaves no trace but its record',
  async (t) => {
    const { files } = certificates;
    const scenario = await begin(t, { tls: certificates });
    const before = { policy: (await scenario.status()).policy, names: await readdir(scenario.directory) };
    await scenario.write('tls.crt', files['tls.crt'] + files['clients-ca.crt'].slice(0, 200));
    await scenario.reload(sinkTo('other/audit.jsonl'));
    t.match((await scenario.records()).at(-1), {
      stage: 'config',
      detail: { event: 'reload refused', problem: /certFile/ },
      policy: before.policy,
    });
    t.same(await readdir(scenario.directory), before.names, 'no file, no lock');
    t.equal((await scenario.status()).policy, before.policy);
    t.equal(await scenario.metric('portcullis_config_last_reload_success'), 0);
    await scenario.write('tls.crt', files['tls.crt']);
    await scenario.reload();
    t.match(
      (await scenario.records()).at(-1),
      { detail: { event: 'reloaded' } },
      'the sink in force is still locked and open',
    );
  },
);

t.test('a refused reload that names a new, unreachable issuer asks nobody and leaves the gateway ready', async (t) => {
  let asked = 0;
  const issuer = createServer((request) => {
    asked += 1;
    request.socket.destroy();
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => issuer.once('listening', resolve));
  t.teardown(() => issuer.close());
  const { port } = issuer.address() as { port: number };
  const scenario = await begin(t);
  await scenario.reload({
    authenticators: {
      corp: { type: 'jwt', issuer: `http://127.0.0.1:${port}/`, audience: 'https://mcp.example.com/x' },
    },
    ...sinkTo('gateway.yaml/audit.jsonl'),
  });
  t.match(await scenario.record(({ stage, detail }) => stage === 'config' && detail?.event === 'reload refused'), {
    detail: { problem: /audit/ },
  });
  t.equal((await scenario.readiness()).text, 'ready\n');
  t.notMatch(await scenario.metrics(), /portcullis_key_set_(age_seconds|refresh_failures_total)\{/);
  t.equal(asked, 0);
});

t.test(
  'a reload while a required sink does not write is taken, says so, and its record is written when the sink works again',
  async (t) => {
    const [first, second] = await Promise.all([startUpstream(), startUpstream()]);
    t.teardown(() => Promise.all([first.close(), second.close()]));
    const scenario = await startScenario(
      t,
      { routes: [{ path: '/up', authenticate: 'none' }], ...sinkTo('logs/audit.jsonl') },
      { upstream: first, logToFile: true },
    );
    const send = async () => (await fetch(`http://127.0.0.1:${scenario.port}/up`)).status;
    const folder = join(scenario.directory, 'logs');
    const records = () => readJsonLines<AuditRecord>(join(folder, 'audit.jsonl'));
    const refused = (await scenario.status()).policy;
    t.equal(await send(), 200);
    t.equal(first.openConnections(), 1);

    await rename(folder, `${folder}.away`);
    await writeFile(folder, 'in its place');
    await until(async () => (await scenario.readiness()).text.includes('audit'), 'the sink has failed');
    await scenario.reload({ upstreams: { superset: { url: second.url } } });
    const { policy } = await scenario.status();
    t.not(policy, refused, 'it is in force');
    t.equal(await scenario.metric('portcullis_config_last_reload_success'), 1);
    t.equal(await scenario.metric('portcullis_config_info', { hash: policy }), 1);
    const log = await scenario.log();
    t.match(log, `"policy":"${policy}","msg":"configuration reloaded"`);
    t.notMatch(log, 'configuration not reloaded');
    await until(() => first.openConnections() === 0, 'the old upstream is let go');
    t.equal(await send(), 503, 'nothing is forwarded unrecorded');
    t.equal(second.requests.length, 0);

    await rm(folder);
    await rename(`${folder}.away`, folder);
    await until(
      async () => (await records()).some(({ detail }) => detail?.event === 'reloaded'),
      'the record is written',
    );
    const [reloaded, ...others] = (await records()).filter(({ detail }) => detail?.event === 'reloaded');
    t.match(reloaded, { policy, detail: { previous: refused } });
    t.same(others, [], 'once');
    t.equal(await send(), 200);
    t.equal(second.requests.length, 1);
  },
);

t.test('a stop in the middle of a reload, in its wait for a lock, leaves no lock behind', async (t) => {
  const scenario = await begin(t, { files: { 'waits.jsonl.lock': 'left behind' } });
  const sinks = ['audit.jsonl', 'fresh/audit.jsonl', 'waits.jsonl'].map((path) => ({ type: 'file', path }));
  const reloading = scenario.reload({ audit: { sinks } });
  await until(() => existsSync(join(scenario.directory, 'fresh/audit.jsonl.lock')), 'it waits');
  await scenario.gateway.close();
  await reloading;
  t.same((await readdir(scenario.directory)).sort(), ['audit.jsonl', 'gateway.yaml', 'waits.jsonl.lock']);
  t.match(await scenario.records(), [{ detail: { event: 'started' } }]);
  t.equal((await scenario.records()).length, 1, 'neither taken nor refused');
});
