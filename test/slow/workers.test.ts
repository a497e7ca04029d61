// `portcullis serve` with `workers: 2` as processes: starts, ends, reloads and stops of all of them together.
import { existsSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import t, { type Test } from 'tap';
import { verifyChain } from '../../src/audit/verify.ts';
import { pages } from '../../src/console/pages.ts';
import { apiKey, keyEntry } from '../support/configuration.ts';
import type { AuditRecord } from '../support/gateway.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { readJsonLines } from '../support/json-lines.ts';
import { type ServeProcess, type ServeProcessOptions, spawnServe } from '../support/serve.ts';
import { until } from '../support/until.ts';
import { startUpstream } from '../support/upstream.ts';

const fileSink = '{type: file, path: audit.jsonl}';
const health = 'routes: [{path: /health, authenticate: none, respond: {text: ok}}]';

function yamlOf({ listen = '127.0.0.1:0', sinks = fileSink, routes = health, server = '' } = {}): string {
  return `version: 1
server: {listen: "${listen}", publicUrl: "https://mcp.example.com", plaintext: true, workers: 2${server}}
admin: {listen: "127.0.0.1:0"}
audit: {sinks: [${sinks}]}
${routes}
`;
}

interface WorkerStatus {
  readonly worker: number;
  readonly state: string;
  readonly pid: number;
  readonly ends: number;
}

/** A gateway of two workers, and what it says on its listeners. */
async function startWorkers(t: Test, options: Partial<ServeProcessOptions> = {}) {
  const gateway = await spawnServe(t, { yaml: yamlOf(), ...options });
  const { adminPort, port } = await gateway.listening();
  const admin = (path: string) => fetch(`http://127.0.0.1:${adminPort}${path}`);
  const workers = async () => ((await (await admin('/status')).json()) as { workers: readonly WorkerStatus[] }).workers;
  return {
    gateway,
    port,
    admin,
    workers,
    get: (path: string) =>
      fetch(`http://127.0.0.1:${port}${path}`, {
        headers: { host: 'mcp.example.com', connection: 'close' },
        signal: AbortSignal.timeout(90_000),
      }),
    records: (worker: number) => readJsonLines<AuditRecord>(gateway.file(`audit.${worker}.jsonl`)),
    /** Waits until another process has taken the place of the worker. */
    async replaced(worker: number, pid: number): Promise<void> {
      const isReplaced = (each: WorkerStatus) => each.worker === worker && each.state === 'up' && each.pid !== pid;
      await until(async () => (await workers()).some(isReplaced), `worker ${worker} is replaced`, 90_000);
    },
    async metric(name: string, labels = ''): Promise<number | undefined> {
      const line = (await (await admin('/metrics')).text())
        .split('\n')
        .find((each) => each.startsWith(`${name}${labels} `));
      return line === undefined ? undefined : Number(line.split(' ').at(-1));
    },
  };
}

const events = (records: readonly AuditRecord[]) =>
  records.filter(({ stage }) => stage === 'config').map(({ detail }) => detail?.event);

/** Every request has a record of its own. */
const recorded = ', limits: {refusalsPerAddress: 1000/s}';

t.test('two workers share the requests, and the admin listener answers for both', async (t) => {
  const { admin, gateway, get, metric, records, workers } = await startWorkers(t, {
    yaml: yamlOf({ server: recorded }),
  });
  for (let count = 0; count < 20; count += 1) t.equal((await get('/health')).status, 200);
  const completed = async (worker: number) =>
    (await records(worker)).filter(({ stage }) => stage === 'completed').length;
  await until(async () => (await completed(1)) + (await completed(2)) === 20, 'all are recorded');
  t.ok((await completed(1)) > 0 && (await completed(2)) > 0, 'both have some');
  t.equal(await metric('portcullis_requests_total', '{route="/health",outcome="completed",status="200"}'), 20);
  t.equal(await metric('portcullis_config_last_reload_success'), 1);
  t.equal(await (await admin('/readyz')).text(), 'ready\n');
  t.match(await workers(), [
    { worker: 1, state: 'up', ends: 0 },
    { worker: 2, state: 'up', ends: 0 },
  ]);
  const instances = (await records(2)).map(({ instance }) => instance);
  t.match(instances[0], /^[0-9a-f-]{36}\.2$/);
  t.equal(gateway.lines.filter((line) => line.includes('portcullis is listening')).length, 1);

  gateway.child.kill('SIGINT');
  t.equal(await gateway.ended, 0);
  t.same(readdirSync(gateway.directory).sort(), ['audit.1.jsonl', 'audit.2.jsonl', 'gateway.yaml']);
  const report = await verifyChain([gateway.file('audit.1.jsonl'), gateway.file('audit.2.jsonl')]);
  t.equal(report.valid, true);
});

t.test(
  'SIGKILL of a worker: another one continues its chain, says so, counts go on, no request to the other fails',
  async (t) => {
    const { gateway, get, metric, records, replaced, workers } = await startWorkers(t);
    for (let count = 0; count < 4; count += 1) await get('/health');
    const requests = () => metric('portcullis_requests_total', '{route="/health",outcome="completed",status="200"}');
    t.equal(await requests(), 4);
    const { pid } = (await workers())[1]!;
    process.kill(pid, 'SIGKILL');
    for (let count = 0; count < 4; count += 1) t.equal((await get('/health')).status, 200);
    await replaced(2, pid);
    await until(async () => events(await records(2)).includes('worker ended'), 'it is recorded');
    const record = (await records(2)).find(({ detail }) => detail?.event === 'worker ended');
    t.match(record?.detail, { worker: 2, pid, code: null, signal: 'SIGKILL', reason: 'signal' });
    t.same(events(await records(2)), ['started', 'started', 'worker ended']);
    t.equal(await requests(), 8);
    t.equal(await metric('portcullis_worker_ends_total', '{worker="2",reason="signal"}'), 1);
    t.match(JSON.parse(await gateway.says('worker 2 ended')), { level: 'error', worker: 2, signal: 'SIGKILL' });
    gateway.child.kill('SIGINT');
    t.equal(await gateway.ended, 0);
    t.equal((await verifyChain([gateway.file('audit.2.jsonl')])).valid, true);
  },
);

t.test('both workers killed at once: a connection waits for the next one', async (t) => {
  const { get, replaced, workers } = await startWorkers(t);
  const before = await workers();
  for (const { pid } of before) process.kill(pid, 'SIGKILL');
  t.equal((await get('/health')).status, 200);
  for (const { pid, worker } of before) await replaced(worker, pid);
});

t.test(
  'a worker that is stopped (SIGSTOP) is killed and replaced, and the connection that it was to take is served',
  async (t) => {
    const { get, metric, records, replaced, workers } = await startWorkers(t);
    const { pid } = (await workers())[0]!;
    process.kill(pid, 'SIGSTOP');
    const answers = await Promise.all([get('/health'), get('/health'), get('/health')]);
    t.same(
      answers.map(({ status }) => status),
      [200, 200, 200],
    );
    await replaced(1, pid);
    t.equal(await metric('portcullis_worker_ends_total', '{worker="1",reason="hung"}'), 1);
    await until(async () => events(await records(1)).includes('worker ended'), 'it is recorded');
  },
);

t.test('the console shows either worker, and says of one that is stopped that it does not answer', async (t) => {
  const { admin, replaced, workers } = await startWorkers(t);
  for (const { name, path } of pages) {
    const answers = await Promise.all([admin(path), admin(`${path}?worker=2`)]);
    for (const [index, answer] of answers.entries()) {
      t.equal(answer.status, 200, path);
      const text = await answer.text();
      t.match(text, `<h1>${name}</h1>`);
      t.match(text, `<a href="${path}?worker=${index + 1}" aria-current="true">`);
    }
  }
  const { pid } = (await workers())[1]!;
  process.kill(pid, 'SIGSTOP');
  const stopped = await admin('/streams?worker=2');
  t.equal(stopped.status, 503);
  t.match(await stopped.text(), 'Worker 2: does not answer.');
  t.equal((await admin('/streams')).status, 200, 'the other one does');
  await replaced(2, pid);
  t.equal((await admin('/streams?worker=2')).status, 200);
});

t.test(
  'a key that the console of one worker revokes is refused at both, and at the one that replaces a killed one',
  async (t) => {
    const [issuer, upstream] = await Promise.all([
      createFakeIssuer(),
      startUpstream({
        reply(_request, response) {
          response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n');
        },
      }),
    ]);
    t.teardown(() => Promise.all([issuer.close(), upstream.close()]));
    const routes = `authenticators:
  corp: {type: jwt, issuer: "${issuer.issuer}"}
  keys: {type: apiKey, keys: [${JSON.stringify(keyEntry('k1', apiKey))}]}
upstreams: {superset: {url: "${upstream.url}"}}
routes: [{path: /events, upstream: superset, authenticate: keys}]`;
    const yaml = yamlOf({ routes }).replace('admin: {', 'admin: {authenticate: corp, ');
    const { gateway, port, replaced, workers } = await startWorkers(t, { yaml });
    const origin = `http://127.0.0.1:${(await gateway.listening()).adminPort}`;
    const bearer = { authorization: `Bearer ${await issuer.token({ aud: origin })}` };
    const open = (): Promise<Response> =>
      fetch(`http://127.0.0.1:${port}/events`, {
        headers: { host: 'mcp.example.com', connection: 'close', authorization: `Bearer ${apiKey}` },
      });
    const statuses = async () => (await Promise.all(Array.from({ length: 8 }, open))).map(({ status }) => status);
    const stream = await open();
    const id = stream.headers.get('x-request-id');
    const asked = [1, 2].map(async (worker) => {
      const page = await fetch(`${origin}/streams?worker=${worker}&stream=${id}`, { headers: bearer });
      return { worker, text: await page.text() };
    });
    const { text, worker } = (await Promise.all(asked)).find((page) => page.text.includes('id="revoke"'))!;
    const csrf = /name="csrf" value="([^"]+)"/.exec(text)![1]!;
    const form = new URLSearchParams({ csrf, kind: 'api-key', authenticator: 'keys', id: 'k1' });
    const post = { method: 'POST', headers: { ...bearer, origin }, body: form, redirect: 'manual' } as const;
    t.equal((await fetch(`${origin}/streams/revoke?worker=${worker}`, post)).status, 303);
    t.equal(await stream.text(), 'data: 1\n\n', 'the stream ends at the client');
    t.same(new Set(await statuses()), new Set([401]));
    t.equal(upstream.requests.length, 1, 'the upstream saw nothing more');
    const { pid } = (await workers())[1]!;
    process.kill(pid, 'SIGKILL');
    await replaced(2, pid);
    t.same(new Set(await statuses()), new Set([401]), 'its replacement has it from the supervisor');
    t.equal(upstream.requests.length, 1);
  },
);

t.test('SIGTERM to one worker: its request ends, then another one takes its place', async (t) => {
  const upstream = await startUpstream({ reply: () => {} });
  t.teardown(() => upstream.close());
  const routes = `upstreams: {slow: {url: "${upstream.url}"}}
routes: [{path: /slow, upstream: slow, authenticate: none}, {path: /health, authenticate: none, respond: {text: ok}}]`;
  const { get, records, replaced, workers } = await startWorkers(t, {
    yaml: yamlOf({ routes, server: ', drainTimeout: 2s' }),
  });
  const before = await workers();
  for (const { pid } of before.slice(0, 1)) process.kill(pid, 'SIGTERM');
  await until(async () => (await workers())[0]!.state !== 'up', 'it retires');
  t.equal((await get('/health')).status, 200);
  await replaced(1, before[0]!.pid);
  await until(async () => events(await records(1)).includes('worker ended'), 'it is recorded');
  const record = (await records(1)).find(({ detail }) => detail?.event === 'worker ended');
  t.match(record?.detail, { worker: 1, code: 0, signal: null, reason: 'exit' });
});

t.test(
  'SIGTERM to all processes at once (KillMode=control-group): connections are served while the supervisor drains',
  async (t) => {
    const { gateway, get, workers } = await startWorkers(t);
    for (const { pid } of await workers()) process.kill(pid, 'SIGTERM');
    gateway.child.kill('SIGTERM');
    await gateway.says('draining');
    for (let count = 0; count < 4; count += 1) t.equal((await get('/health')).status, 200);
    t.equal(await gateway.ended, 0);
    t.notOk(gateway.lines.some((line) => line.includes('told to end by itself')));
    t.notOk(gateway.lines.some((line) => line.includes('another one takes its place')));
  },
);

t.test('a reload that one worker cannot take changes neither, and one record says so', async (t) => {
  const { admin, gateway, get, metric, records, replaced, workers } = await startWorkers(t);
  const write = async (yaml: string) => {
    await writeFile(gateway.file('next.yaml'), yaml);
    await rename(gateway.file('next.yaml'), gateway.file('gateway.yaml'));
    gateway.child.kill('SIGHUP');
  };
  const policy = async () => ((await (await admin('/status')).json()) as { policy: string }).policy;
  const first = await policy();
  // Where worker 2 would write its second file stands a folder.
  await mkdir(gateway.file('more.2.jsonl'));
  const two = `${fileSink}, {type: file, path: more.jsonl}`;
  const routes = 'routes: [{path: /new, authenticate: none, respond: {text: new}}]';
  await write(yamlOf({ sinks: two, routes }));
  await gateway.says('configuration not reloaded');
  await until(async () => (await metric('portcullis_config_last_reload_success')) === 0, 'it is counted');
  t.equal(await policy(), first);
  t.same(
    (await Promise.all(Array.from({ length: 4 }, () => get('/new')))).map(({ status }) => status),
    [404, 404, 404, 404],
  );
  const told = [...(await records(1)), ...(await records(2))].filter(
    ({ detail }) => detail?.event === 'reload refused',
  );
  t.match(told, [{ detail: { problem: /^worker 2: audit\.sinks\[1]\.path: .*more\.2\.jsonl is not a regular file/ } }]);
  t.equal(told.length, 1);
  t.notOk(existsSync(gateway.file('more.1.jsonl')), 'what the other one had opened is gone');

  // The file on the disk is still the refused one.
  const { pid } = (await workers())[0]!;
  process.kill(pid, 'SIGKILL');
  await replaced(1, pid);
  t.equal(await policy(), first);
  t.same(
    (await Promise.all([get('/health'), get('/health')])).map(({ status }) => status),
    [200, 200],
  );

  await write(yamlOf({ routes }));
  await until(async () => (await policy()) !== first, 'a good one is taken');
  t.same(
    (await Promise.all([get('/new'), get('/new')])).map(({ status }) => status),
    [200, 200],
  );
  await until(
    async () => events(await records(1)).includes('reloaded') && events(await records(2)).includes('reloaded'),
    'both record it',
  );
  t.equal(await metric('portcullis_config_last_reload_success'), 1);

  await write(`${yamlOf({ routes })}nonsense`);
  await until(async () => (await metric('portcullis_config_last_reload_success')) === 0, 'a bad one is refused');
  await write(yamlOf({ routes }).replace('workers: 2', 'workers: 3'));
  await gateway.says('server.workers cannot change while the gateway runs; restart it');
  t.equal((await workers()).length, 2);
});

t.test('the supervisor is killed: the workers end the requests that they have, and exit', async (t) => {
  const upstream = await startUpstream({ reply: () => {} });
  t.teardown(() => upstream.close());
  const routes = `upstreams: {slow: {url: "${upstream.url}"}}\nroutes: [{path: /slow, upstream: slow, authenticate: none}]`;
  const { gateway, port, records, workers } = await startWorkers(t, {
    yaml: yamlOf({ routes, server: ', drainTimeout: 2s' }),
  });
  const pids = (await workers()).map(({ pid }) => pid);
  const client = connect(port, '127.0.0.1').on('error', () => {});
  client.write('GET /slow HTTP/1.1\r\nHost: mcp.example.com\r\n\r\n');
  await upstream.received(1);
  gateway.child.kill('SIGKILL');
  await until(() => pids.every((pid) => !existsSync(`/proc/${pid}`)), 'no process is left', 90_000);
  const all = [...(await records(1)), ...(await records(2))];
  t.match(
    all.find(({ stage }) => stage === 'completed'),
    { outcome: 'aborted' },
  );
  client.destroy();
});

t.test('lines of two workers on standard output are whole, and each worker has a chain', async (t) => {
  const directory = t.testdir();
  const out = `${directory}/out.jsonl`;
  const { gateway, get, replaced, workers } = await startWorkers(t, {
    yaml: yamlOf({ sinks: '{type: stdout}', server: recorded }),
    stdout: openSync(out, 'w'),
  });
  const completed = () => readFileSync(out, 'utf8').split('"stage":"completed"').length - 1;
  await Promise.all(Array.from({ length: 6 }, () => get('/health')));
  await until(() => completed() === 6, 'all are written');
  const { pid } = (await workers())[0]!;
  process.kill(pid, 'SIGKILL');
  await replaced(1, pid);
  await Promise.all(Array.from({ length: 4 }, () => get('/health')));
  gateway.child.kill('SIGINT');
  t.equal(await gateway.ended, 0);
  const records = readFileSync(out, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as AuditRecord);
  t.equal(completed(), 10);
  const report = await verifyChain([out]);
  t.equal(report.valid, true, JSON.stringify(report.problems));
  t.equal(report.chains.length, 2);
  const withoutOne = records.filter(({ seq, instance }) => !(seq === 2 && instance.endsWith('.1')));
  await writeFile(out, withoutOne.map((record) => `${JSON.stringify(record)}\n`).join(''));
  t.equal((await verifyChain([out])).valid, false, 'a record that is missing is missed');
});

t.test('an audit file that worker 2 cannot write ends the start with one line and exit code 1', async (t) => {
  const gateway = await spawnServe(t, { yaml: yamlOf(), files: { 'audit.2.jsonl/obstacle': '' } });
  t.equal(await gateway.ended, 1);
  const plain = gateway.lines.filter((line) => !line.startsWith('{'));
  t.equal(plain.length, 1, plain.join('\n'));
  t.match(plain[0], /^portcullis: audit\.sinks\[0]\.path: .*audit\.2\.jsonl is not a regular file/);
  t.same(
    readdirSync(gateway.directory).filter((name) => name.endsWith('.lock')),
    [],
  );
});

t.test('a public port that is taken ends the start with one line, before any worker has begun', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await until(() => server.listening, 'it listens');
  const { port } = server.address() as AddressInfo;
  const gateway = await spawnServe(t, { yaml: yamlOf({ listen: `127.0.0.1:${port}` }) });
  t.equal(await gateway.ended, 1);
  t.match(gateway.lines.at(-1), `portcullis: server.listen: 127.0.0.1:${port} is already in use`);
  t.same(readdirSync(gateway.directory), ['gateway.yaml']);
});

const isStarting = (gateway: ServeProcess) =>
  until(() => existsSync(gateway.file('first/audit.1.jsonl.lock')), 'a worker starts');

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`${signal} during the start of the workers stops all and leaves no lock behind`, async (t) => {
    const sinks = '{type: file, path: first/audit.jsonl}, {type: file, path: second/audit.jsonl}';
    const files = { 'second/audit.1.jsonl.lock': 'left behind', 'second/audit.2.jsonl.lock': 'left behind' };
    const gateway = await spawnServe(t, { yaml: yamlOf({ sinks }), files });
    await isStarting(gateway);
    gateway.child.kill(signal);
    t.equal(await gateway.ended, 0);
    t.notMatch(gateway.lines.join(), 'portcullis is listening');
    const locks = readdirSync(gateway.directory, { recursive: true }).filter((name) => String(name).endsWith('.lock'));
    t.same(locks.sort(), Object.keys(files), 'those of the other process');
  });
}
