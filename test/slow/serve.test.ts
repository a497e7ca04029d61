// `portcullis serve` as a process: a start that fails ends it and leaves nothing behind, and signals count from its first moment.
import { once } from 'node:events';
import { existsSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import type { AuditRecord } from '../support/gateway.ts';
import { holdSocket } from '../support/held-socket.ts';
import { readJsonLines } from '../support/json-lines.ts';
import { type ServeProcess, spawnServe, untilItCatchesSignals } from '../support/serve.ts';
import { until } from '../support/until.ts';
import { startUpstream } from '../support/upstream.ts';

const fileSink = '{type: file, path: audit.jsonl}';

function yamlOf({ listen = '127.0.0.1:0', admin = '127.0.0.1:0', sinks = fileSink, more = '' } = {}): string {
  return `version: 1
server: {listen: "${listen}", publicUrl: "https://mcp.example.com", plaintext: true, drainTimeout: 30s}
admin: {listen: "${admin}"}
audit: {sinks: [${sinks}]}
${more || 'routes: [{path: /health, authenticate: none, respond: {text: ok}}]'}
`;
}

/** A port that somebody listens on until all tests have ended. */
async function takenPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** A port that nobody listens on. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Asks for readiness again and again until the process has ended; gives the answers that said ready. */
async function readyAnswers(gateway: ServeProcess, adminPort: number): Promise<number> {
  let ready = 0;
  while (gateway.child.exitCode === null && gateway.child.signalCode === null) {
    // Bounded: the port is free for a moment, and whoever takes it may be a server that never answers.
    const signal = AbortSignal.timeout(500);
    const response = await fetch(`http://127.0.0.1:${adminPort}/readyz`, { signal }).catch(() => undefined);
    if (response?.status === 200) ready += 1;
    await delay(5);
  }
  return ready;
}

interface FailingStart extends Omit<Parameters<typeof yamlOf>[0] & object, 'more'> {
  readonly files?: Readonly<Record<string, string>>;
  readonly wrapper?: readonly string[];
  readonly stdout?: number;
  readonly message: string;
}

const taken = await takenPort();
const inShell = (script: string) => ['bash', '-c', script, 'bash'];

const failingStarts: Readonly<Record<string, FailingStart>> = {
  'a public port that is taken': {
    listen: `127.0.0.1:${taken}`,
    message: `server.listen: 127.0.0.1:${taken} is already in use`,
  },
  'an admin port that is taken': {
    admin: `127.0.0.1:${taken}`,
    message: `admin.listen: 127.0.0.1:${taken} is already in use`,
  },
  'an address of another host': {
    listen: '192.0.2.1:8443',
    message: 'server.listen: 192.0.2.1:8443 is not an address of this machine',
  },
  'a name without an address': {
    listen: 'nowhere.invalid:8443',
    message: 'server.listen: nowhere.invalid:8443 cannot be resolved to an address',
  },
  'an audit path below a file': {
    sinks: `${fileSink}, {type: file, path: obstacle/audit.jsonl}`,
    files: { obstacle: '' },
    message: 'audit.sinks[1].path: ENOTDIR: not a directory',
  },
  'a disk that is full at the first record': {
    // Node itself ignores SIGXFSZ, but not while it writes its compile cache, and not with the runner's preload, which listens to all signals.
    wrapper: inShell('unset NODE_OPTIONS NODE_COMPILE_CACHE; ulimit -f 0; exec "$@"'),
    message: 'audit.sinks[0].path: EFBIG: file too large',
  },
  'a standard output that is full at the first record': {
    sinks: `${fileSink}, {type: stdout}`,
    stdout: openSync('/dev/full', 'w'),
    message: 'audit.sinks[1]: ENOSPC: no space left on device',
  },
  'a standard output that nobody reads any more': {
    sinks: '{type: stdout}',
    wrapper: inShell('set -o pipefail; "$@" | true'),
    message: 'audit.sinks[0]: EPIPE: broken pipe',
  },
};

for (const [input, { files = {}, wrapper = [], stdout = 'ignore' as const, message, ...start }] of Object.entries(
  failingStarts,
)) {
  t.test(`${input} ends the start with one line and exit code 1, and nothing says ready`, async (t) => {
    const adminPort = await freePort();
    const yaml = yamlOf({ admin: `127.0.0.1:${adminPort}`, ...start });
    const gateway = await spawnServe(t, { yaml, files, wrapper, stdout });
    t.equal(await readyAnswers(gateway, adminPort), 0);
    t.equal(await gateway.ended, 1);
    const plain = gateway.lines.filter((line) => !line.startsWith('{'));
    t.equal(plain.length, 1, plain.join('\n'));
    t.equal(plain[0]?.startsWith(`portcullis: ${message}`), true, plain.join('\n'));
    t.notMatch(gateway.lines.join(), /listening/i);
    const locks = readdirSync(gateway.directory).filter((name) => name.endsWith('.lock'));
    t.same(locks, []);
  });
}

t.test(
  'a new generation that cannot start ends with exit code 1, and the old one serves all connections',
  async (t) => {
    const socket = holdSocket('127.0.0.1');
    t.teardown(() => socket.close());
    const { fd, port } = socket;
    const listen = `127.0.0.1:${port}`;
    const old = await spawnServe(t, { yaml: yamlOf({ listen }), socket: fd });
    t.equal((await old.listening()).port, port);
    for (const [input, yaml, message] of [
      ['a file with a problem', yamlOf({ listen, more: 'routs: []' }), /routs/],
      [
        'another address than that of the socket',
        yamlOf({ listen: '127.0.0.1:1' }),
        /^portcullis: server\.listen: .* is not the address of the inher/,
      ],
      ['an audit path below a file', yamlOf({ listen, sinks: '{type: file, path: gateway.yaml/a}' }), /ENOTDIR/],
    ] as const) {
      const next = await spawnServe(t, { yaml, socket: fd });
      t.equal(await next.ended, 1, input);
      t.match(next.lines.join('\n'), message);
      for (let connection = 0; connection < 10; connection += 1) {
        const answer = await fetch(`http://${listen}/health`, { headers: { connection: 'close' } });
        t.equal(await answer.text(), 'ok', input);
      }
    }
    t.equal(old.child.exitCode, null);
  },
);

/** The second sink waits three seconds for the lock of a process in another container; by then the first is open. */
const waiting = {
  yaml: yamlOf({ sinks: '{type: file, path: first/audit.jsonl}, {type: file, path: second/audit.jsonl}' }),
  files: { 'second/audit.jsonl.lock': 'left behind' },
};
const isWaiting = (gateway: ServeProcess) =>
  until(() => existsSync(gateway.file('first/audit.jsonl.lock')), 'it waits');
const configRecords = async (gateway: ServeProcess, name = 'audit.jsonl') =>
  (await readJsonLines<AuditRecord>(gateway.file(name)).catch(() => [])).filter(({ stage }) => stage === 'config');

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`${signal} during the start, in the wait for a lock, stops and leaves nothing behind`, async (t) => {
    const gateway = await spawnServe(t, waiting);
    await isWaiting(gateway);
    gateway.child.kill(signal);
    t.equal(await gateway.ended, 0);
    t.same(readdirSync(gateway.directory).sort(), ['gateway.yaml', 'second']);
    t.same(readdirSync(gateway.file('second')), ['audit.jsonl.lock']);
    t.equal(readFileSync(gateway.file('second/audit.jsonl.lock'), 'utf8'), 'left behind', 'it did not wait for it');
    t.notMatch(gateway.lines.join(), 'portcullis is listening');
  });
}

t.test('SIGTERM as soon as the process takes it stops the start', async (t) => {
  const gateway = await spawnServe(t, { yaml: yamlOf() });
  await untilItCatchesSignals(gateway);
  gateway.child.kill('SIGTERM');
  t.equal(await gateway.ended, 0);
  t.same(await configRecords(gateway), [], 'it was early enough');
});

t.test('SIGHUP during the start is remembered: one reload follows', async (t) => {
  const gateway = await spawnServe(t, waiting);
  await isWaiting(gateway);
  gateway.child.kill('SIGHUP');
  gateway.child.kill('SIGHUP');
  await gateway.says('configuration reloaded');
  gateway.child.kill('SIGINT');
  t.equal(await gateway.ended, 0);
  const events = (await configRecords(gateway, 'first/audit.jsonl')).map(({ detail }) => detail?.event);
  t.same(events, ['started', 'reloaded']);
});

t.test('a second SIGTERM while draining stops at once', async (t) => {
  const upstream = await startUpstream({ reply: () => {} });
  t.teardown(() => upstream.close());
  const more = `upstreams: {slow: {url: "${upstream.url}"}}\nroutes: [{path: /slow, upstream: slow, authenticate: none}]`;
  const gateway = await spawnServe(t, { yaml: yamlOf({ more }) });
  const { port, adminPort } = await gateway.listening();
  const client = connect(port, '127.0.0.1').on('error', () => {});
  client.write('GET /slow HTTP/1.1\r\nHost: mcp.example.com\r\n\r\n');
  await upstream.received(1);
  const before = performance.now();
  gateway.child.kill('SIGTERM');
  await until(async () => (await fetch(`http://127.0.0.1:${adminPort}/readyz`)).status === 503, 'it drains');
  gateway.child.kill('SIGTERM');
  t.equal(await gateway.ended, 0);
  t.ok(performance.now() - before < 15_000, 'long before drainTimeout');
  const records = await readJsonLines<AuditRecord>(gateway.file('audit.jsonl'));
  t.match(records.at(-1), { stage: 'completed', outcome: 'aborted' });
});

t.test('SIGKILL of a gateway that has run for a while leaves a compile cache to the next start', async (t) => {
  const cache = t.testdir();
  const gateway = await spawnServe(t, { yaml: yamlOf(), env: { NODE_COMPILE_CACHE: cache } });
  await gateway.listening();
  const compiled = () => readdirSync(cache, { recursive: true }).filter((name) => /\/[0-9a-f]+$/.test(String(name)));
  await until(() => compiled().length > 100, 'modules are in the cache');
  gateway.child.kill('SIGKILL');
  t.equal(await gateway.ended, 'SIGKILL');
});
