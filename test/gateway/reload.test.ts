// A reload as an operator sees it: all of it comes into force, or nothing of it does but the record of its refusal.
import { existsSync } from 'node:fs';
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createTestCertificates } from '../support/certificates.ts';
import { type AuditRecord, startTestGateway, type TestGateway, type TestGatewayOptions } from '../support/gateway.ts';
import { readJsonLines } from '../support/json-lines.ts';
import { until } from '../support/until.ts';
import { startUpstream } from '../support/upstream.ts';

const certificates = await createTestCertificates();
const routes = 'routes: [{path: /health, authenticate: none, respond: {text: ok}}]';
const yamlOf = (more = '', server = '') => `version: 1
server: {listen: "127.0.0.1:0", publicUrl: "https://mcp.example.com"${server}}
admin: {listen: "127.0.0.1:0"}
${more.includes('routes:') ? '' : routes}
${more}
`;

async function start(t: Test, yaml = yamlOf(), more: Omit<TestGatewayOptions, 'yaml'> = {}): Promise<TestGateway> {
  const gateway = await startTestGateway({ yaml, ...more });
  t.teardown(() => gateway.close());
  return gateway;
}

const readiness = async ({ admin }: TestGateway) => (await admin('/readyz')).text();
const policyOf = async ({ admin }: TestGateway) =>
  ((await (await admin('/status')).json()) as { policy: string }).policy;

t.test(
  'a reload that is refused for its certificate, and would change the audit, leaves no trace but its record',
  async (t) => {
    const { files } = certificates;
    const tls = ', tls: {certFile: tls.crt, keyFile: tls.key}';
    const audit = (path: string) => `audit: {sinks: [{type: file, path: ${path}, fsync: never}]}`;
    const gateway = await start(t, yamlOf(audit('audit.jsonl'), tls), { files });
    const before = { policy: await policyOf(gateway), names: await readdir(gateway.directory) };
    await gateway.write('tls.crt', files['tls.crt'] + files['clients-ca.crt'].slice(0, 200));
    await gateway.reload(yamlOf(audit('other/audit.jsonl'), tls));
    t.match((await gateway.records()).at(-1), {
      stage: 'config',
      detail: { event: 'reload refused', problem: /certFile/ },
      policy: before.policy,
    });
    t.same(await readdir(gateway.directory), before.names, 'no file, no lock');
    t.equal(await policyOf(gateway), before.policy);
    t.equal(await gateway.metric('portcullis_config_last_reload_success'), 0);
    await gateway.write('tls.crt', files['tls.crt']);
    await gateway.reload(yamlOf(audit('audit.jsonl'), tls));
    t.match(
      (await gateway.records()).at(-1),
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
  const gateway = await start(t);
  await gateway.reload(
    yamlOf(`authenticators: {corp: {type: jwt, issuer: "http://127.0.0.1:${port}/", audience: "https://mcp.example.com/x"}}
audit: {sinks: [{type: file, path: gateway.yaml/audit.jsonl}]}`),
  );
  t.match(await gateway.record(({ stage, detail }) => stage === 'config' && detail?.event === 'reload refused'), {
    detail: { problem: /audit/ },
  });
  t.equal(await readiness(gateway), 'ready\n');
  t.notMatch(await gateway.metrics(), /portcullis_key_set_(age_seconds|refresh_failures_total)\{/);
  t.equal(asked, 0);
});

t.test(
  'a reload while a required sink does not write is taken, says so, and its record is written when the sink works again',
  async (t) => {
    const [first, second] = await Promise.all([startUpstream(), startUpstream()]);
    t.teardown(() => Promise.all([first.close(), second.close()]));
    const yaml = (url: string) =>
      yamlOf(`upstreams: {up: {url: "${url}"}}
routes: [{path: /up, upstream: up, authenticate: none}]
audit: {sinks: [{type: file, path: logs/audit.jsonl, fsync: never}]}`);
    const gateway = await start(t, yaml(first.url), { logToFile: true });
    const send = async () => (await fetch(`http://127.0.0.1:${gateway.port}/up`)).status;
    const folder = join(gateway.directory, 'logs');
    const records = () => readJsonLines<AuditRecord>(join(folder, 'audit.jsonl'));
    const refused = await policyOf(gateway);
    t.equal(await send(), 200);
    t.equal(first.openConnections(), 1);

    await rename(folder, `${folder}.away`);
    await writeFile(folder, 'in its place');
    await until(async () => (await readiness(gateway)).includes('audit'), 'the sink has failed');
    await gateway.reload(yaml(second.url));
    const policy = await policyOf(gateway);
    t.not(policy, refused, 'it is in force');
    t.equal(await gateway.metric('portcullis_config_last_reload_success'), 1);
    t.equal(await gateway.metric('portcullis_config_info', { hash: policy }), 1);
    const log = await readFile(join(gateway.directory, 'gateway.log'), 'utf8');
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
  const gateway = await start(t, yamlOf(), { files: { 'waits.jsonl.lock': 'left behind' } });
  const sinks = ['audit.jsonl', 'fresh/audit.jsonl', 'waits.jsonl'].map((path) => `{type: file, path: ${path}}`);
  const reloading = gateway.reload(yamlOf(`audit: {sinks: [${sinks.join()}]}`));
  await until(() => existsSync(join(gateway.directory, 'fresh/audit.jsonl.lock')), 'it waits');
  await gateway.gateway.close();
  await reloading;
  t.same((await readdir(gateway.directory)).sort(), ['audit.jsonl', 'gateway.yaml', 'waits.jsonl.lock']);
  t.match(await gateway.records(), [{ detail: { event: 'started' } }]);
  t.equal((await gateway.records()).length, 1, 'neither taken nor refused');
});
