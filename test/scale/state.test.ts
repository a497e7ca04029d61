// Shared state in a real Redis: claims and limits of two replicas, and each way in which the server really fails.
import { strict as assert } from 'node:assert';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { freePort } from '../deploy/scene.ts';
import { createTestCertificates } from '../support/certificates.ts';
import { connectReplica, refusalOf, type StateReplica } from '../support/state-replica.ts';
import { until } from '../support/until.ts';
import { type RedisServer, startRedis } from './redis.ts';

let server: RedisServer;
before(async () => {
  server = await startRedis();
});
after(() => server.close());

const refused = '503 state_unavailable';

async function replica(
  t: TestContext,
  redis: object = {},
  ...more: [number?, Record<string, string>?]
): Promise<StateReplica> {
  const state = await connectReplica({ redis: { url: server.url, ...redis } }, ...more);
  t.after(state.close);
  return state;
}

async function redis(t: TestContext, options: readonly string[] = []): Promise<RedisServer> {
  const started = await startRedis(options);
  t.after(started.close);
  return started;
}

test('of 500 claims of one proof at each of two replicas one is added, and its key ends', async (t) => {
  const both = [await replica(t), await replica(t)];
  const claims = await Promise.all(
    Array.from({ length: 500 }, () => both.map((each, at) => each.claim('dpop', `caller ${at}`, 'one', 70_000))).flat(),
  );
  assert.deepEqual(count(claims), { added: 1, present: 999 });
  assert.match(await server.command('PTTL', 'portcullis:dpop:one'), /^:(6\d{4}|70000)\r\n$/);
});

test('a bucket of ten holds at two replicas together, and earns as it says', async (t) => {
  const size = { kind: 'bucket', burst: 10, intervalMs: 200 } as const;
  const both = [await replica(t), await replica(t)].map((each) => each.limiter('ten', size));
  const take = async () => {
    const from = performance.now();
    const answers = await Promise.all(both.map((each) => each.consume('jane', 'jane', 'holder')));
    return { from, to: performance.now(), count: answers.filter(({ allowed }) => allowed).length };
  };
  // The server counts between the moments at which a pair is sent and answered, so these bound what it has earned.
  const first = await take();
  let last = first;
  let allowed = first.count;
  while (last.to - first.from < 3000) {
    last = await take();
    allowed += last.count;
  }
  const least = 10 + Math.floor((last.from - first.to) / 200) - 2;
  const most = 10 + Math.floor((last.to - first.from) / 200) + 1;
  assert.ok(allowed >= least && allowed <= most, `${allowed}, between ${least} and ${most}`);
});

test('what a bucket answers, and what is given back', async (t) => {
  const limiter = (await replica(t)).limiter('slow', { kind: 'bucket', burst: 3, intervalMs: 3_600_000 });
  const take = () => limiter.consume('jane', 'jane', 'holder');
  assert.deepEqual(await take(), { allowed: true, remaining: 2, retryAfterMs: 0, resetMs: 3_600_000 });
  assert.equal((await take()).remaining, 1);
  assert.equal((await take()).remaining, 0);
  const over = await take();
  assert.ok(!over.allowed && over.retryAfterMs > 3_590_000 && over.retryAfterMs <= 3_600_000);
  assert.ok(Math.abs(over.resetMs - 3 * 3_600_000) < 10_000);
  await limiter.giveBack('jane', 'jane', 'holder');
  assert.equal((await take()).allowed, true);
  assert.equal((await take()).allowed, false);
  assert.equal((await limiter.consume('john', 'john', 'holder')).remaining, 2, 'another key');
  const keys = await server.command('KEYS', 'portcullis:limit:slow:*');
  assert.doesNotMatch(keys, /jane|john/);
});

test('a rate of three a second, which divides no millisecond', async (t) => {
  const limiter = (await replica(t)).limiter('fast', { kind: 'bucket', burst: 7, intervalMs: 1000 / 3 });
  const answers = [];
  for (let index = 0; index < 8; index += 1) answers.push(await limiter.consume('a', 'a', 'holder'));
  assert.deepEqual(
    answers.map(({ allowed }) => allowed),
    [...Array(7).fill(true), false],
  );
  assert.deepEqual(
    answers.slice(0, 6).map(({ remaining }) => remaining),
    [6, 5, 4, 3, 2, 1],
  );
});

test('a quota holds at two replicas together, and ends with its window', async (t) => {
  const size = { kind: 'window', points: 50, windowMs: 86_400_000 } as const;
  const both = [await replica(t), await replica(t)].map((each) => each.limiter('daily', size));
  const answers = await Promise.all(
    Array.from({ length: 60 }, () => both.map((each) => each.consume('a', 'a', 'holder'))).flat(),
  );
  assert.equal(answers.filter(({ allowed }) => allowed).length, 50);
  const untilMidnight = 86_400_000 - (Date.now() % 86_400_000);
  assert.ok(answers.every(({ resetMs }) => Math.abs(resetMs - untilMidnight) < 5000));
  const [key = ''] =
    /portcullis:limit:daily:[\w-]+/.exec(await server.command('KEYS', 'portcullis:limit:daily:*')) ?? [];
  const ttl = Number((await server.command('PTTL', key)).slice(1));
  assert.ok(ttl > 0 && Math.abs(ttl - untilMidnight) < 5000, `${ttl}`);
  await both[0]!.giveBack('a', 'a', 'holder');
  assert.equal((await both[0]!.consume('a', 'a', 'holder')).allowed, true);
});

test('a secret is one for all replicas', async (t) => {
  const [one, another] = [await replica(t), await replica(t)];
  const secrets = await Promise.all([one, another, one].map((each) => each.secret('nonce', 70_000)));
  assert.deepEqual(secrets[1], secrets[0]);
  assert.deepEqual(secrets[2], secrets[0]);
});

test('a server that is killed and started again: refused meanwhile, without a new connection by hand', async (t) => {
  const own = await redis(t);
  const state = await replica(t, { url: own.url });
  await own.signal('SIGKILL');
  for (let index = 0; index < 5; index += 1)
    assert.equal(await refusalOf(state.claim('dpop', 'a', `${index}`, 1000)), refused);
  assert.deepEqual(new Set(state.failed), new Set(['unreachable']));
  await own.start();
  await until(() => state.outage() === undefined, 'the outage is over');
  assert.equal(await state.claim('dpop', 'a', 'after', 1000), 'added');
  assert.deepEqual(state.outages, ['began', 'ended']);
});

test('a server that hangs: half a second each for three, nobody waits then, and it goes on by itself', async (t) => {
  const own = await redis(t);
  const state = await replica(t, { url: own.url }, 500);
  await own.signal('SIGSTOP');
  t.after(() => own.signal('SIGCONT'));
  const began = performance.now();
  const first = await Promise.all(['1', '2', '3'].map((id) => refusalOf(state.claim('dpop', 'a', id, 1000))));
  assert.deepEqual(first, Array(3).fill(refused));
  assert.ok(performance.now() - began >= 490);
  assert.equal(state.outage()?.outcome, 'timeout');
  assert.equal(await refusalOf(state.claim('dpop', 'a', '4', 1000)), refused);
  await own.signal('SIGCONT');
  await until(() => state.outage() === undefined, 'the outage is over');
  assert.equal(await state.claim('dpop', 'a', '5', 1000), 'added');
});

test('a slow server: every answer later than half a second', async (t) => {
  const own = await redis(t, ['--enable-debug-command', 'yes']);
  const state = await replica(t, { url: own.url }, 500);
  const sleeping = own.command('DEBUG', 'SLEEP', '2');
  await until(
    async () => (await refusalOf(state.claim('dpop', 'a', `${Math.random()}`, 1000))) === refused,
    'one is refused',
  );
  assert.equal(state.failed[0], 'timeout');
  await sleeping;
  await until(() => state.outage() === undefined, 'the outage is over');
});

test('a master that becomes a replica, and master again', async (t) => {
  const [own, other] = [await redis(t), await redis(t)];
  const state = await replica(t, { url: own.url });
  await own.command('REPLICAOF', '127.0.0.1', String(other.port));
  assert.equal(await refusalOf(state.claim('dpop', 'a', 'x', 1000)), refused);
  assert.equal(
    await refusalOf(state.limiter('r', { kind: 'bucket', burst: 1, intervalMs: 1 }).consume('a', 'a', 'holder')),
    refused,
  );
  assert.deepEqual(state.failed, ['read_only', 'read_only']);
  await own.command('REPLICAOF', 'NO', 'ONE');
  assert.equal(await state.claim('dpop', 'a', 'y', 1000), 'added');
});

test('a memory that is full', async (t) => {
  const own = await redis(t, ['--maxmemory', '1kb', '--maxmemory-policy', 'noeviction']);
  const state = await replica(t, { url: own.url });
  assert.equal(state.outage()?.outcome, 'out_of_memory');
  assert.equal(await refusalOf(state.claim('dpop', 'a', 'x', 1000)), refused);
  await own.command('CONFIG', 'SET', 'maxmemory', '0');
  await until(() => state.outage() === undefined, 'the outage is over');
  await own.command('CONFIG', 'SET', 'maxmemory', '1kb');
  assert.equal(
    await refusalOf(state.limiter('r', { kind: 'bucket', burst: 1, intervalMs: 1 }).consume('a', 'a', 'holder')),
    refused,
  );
  assert.equal(state.failed.at(-1), 'out_of_memory');
});

test('a key of another program is refused, and begins no outage', async (t) => {
  const state = await replica(t);
  await server.command('LPUSH', 'portcullis:secret:taken', 'x');
  assert.equal(await refusalOf(state.secret('taken', 1000)), refused);
  assert.deepEqual(state.failed, ['wrong_type']);
  assert.equal(state.outage(), undefined);
});

test('the ACL user of the documentation is enough; without a password, with a wrong one, or with less it is refused', async (t) => {
  const own = await redis(t, ['--requirepass', 'admin']);
  const address = own.url.replace('//', '//:admin@');
  const admin = await replica(t, { url: address });
  assert.equal(admin.outage(), undefined);
  const rule = (name: string, rights: string) =>
    own.session(
      ['AUTH', 'admin'],
      ['ACL', 'SETUSER', name, 'on', '>p@ss/word', 'resetkeys', '~portcullis:*', '-@all', ...rights.split(' ')],
    );
  await rule('portcullis', '+set +get +eval +time +select');
  await rule('less', '+set +get');
  const user = await replica(t, { url: own.url.replace('/0', '/3'), username: 'portcullis', password: 'p@ss/word' });
  assert.equal(user.outage(), undefined);
  assert.equal(await user.claim('dpop', 'a', 'x', 1000), 'added');
  assert.equal(
    (await user.limiter('r', { kind: 'window', points: 1, windowMs: 60_000 }).consume('a', 'a', 'holder')).allowed,
    true,
  );
  assert.equal((await user.secret('s', 1000)).length, 32);
  const outcomes = [
    { url: own.url },
    { url: own.url, username: 'portcullis', password: 'wrong' },
    { url: own.url, username: 'less', password: 'p@ss/word' },
    { url: own.url, username: 'portcullis', password: 'p@ss/word', prefix: 'other:' },
  ];
  const found = [];
  for (const each of outcomes) found.push((await replica(t, each)).outage()?.outcome);
  assert.deepEqual(found, ['unauthenticated', 'unauthenticated', 'forbidden', 'forbidden']);
});

test('TLS with a certificate of the client', async (t) => {
  const { authority, stranger } = await createTestCertificates();
  const [own, client] = await Promise.all([
    authority.issue({ commonName: 'valkey', dnsNames: ['localhost'], server: true }),
    authority.issue({ commonName: 'gateway' }),
  ]);
  const directory = mkdtempSync(join(tmpdir(), 'portcullis-redis-tls-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const files = { ca: authority.certificatePem, crt: own!.certificatePem, key: own!.keyPem };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  const port = await freePort();
  const paths = ['ca', 'crt', 'key'].map((name) => join(directory, name));
  await redis(t, [
    '--tls-port',
    String(port),
    '--tls-ca-cert-file',
    paths[0]!,
    '--tls-cert-file',
    paths[1]!,
    '--tls-key-file',
    paths[2]!,
  ]);
  const named = {
    'ca.crt': authority.certificatePem,
    'other.crt': stranger.certificatePem,
    'gateway.crt': client!.certificatePem,
    'gateway.key': client!.keyPem,
  };
  const section = {
    url: `rediss://localhost:${port}`,
    caFile: 'ca.crt',
    certFile: 'gateway.crt',
    keyFile: 'gateway.key',
  };
  const state = await replica(t, section, 30_000, named);
  assert.equal(await state.claim('dpop', 'a', 'x', 1000), 'added');
  const { certFile: _, keyFile: __, ...without } = section;
  const outcomeOf = async (redis: object) => (await replica(t, redis, 30_000, named)).outage()?.outcome;
  assert.equal(await outcomeOf({ ...section, caFile: 'other.crt' }), 'tls');
  assert.equal(await outcomeOf({ ...section, url: `rediss://127.0.0.1:${port}` }), 'tls', 'another name');
  assert.notEqual(await outcomeOf(without), undefined, 'no certificate of the gateway');
});

test('a cluster of two nodes, known by one; a node by itself says that it is one', async (t) => {
  const options = async () => ['--cluster-enabled', 'yes', '--cluster-port', String(await freePort())];
  const [busOne, busTwo] = [await options(), await options()];
  const [one, two] = [await redis(t, busOne), await redis(t, busTwo)];
  await one.command('CLUSTER', 'ADDSLOTSRANGE', '0', '8191');
  await two.command('CLUSTER', 'ADDSLOTSRANGE', '8192', '16383');
  await one.command('CLUSTER', 'MEET', '127.0.0.1', String(two.port), busTwo.at(-1)!);
  await until(
    async () =>
      /cluster_state:ok/.test((await one.command('CLUSTER', 'INFO')) + (await two.command('CLUSTER', 'INFO'))) &&
      /cluster_known_nodes:2/.test(await one.command('CLUSTER', 'INFO')) &&
      /cluster_state:ok/.test(await two.command('CLUSTER', 'INFO')),
    'the cluster is up',
  );
  const both = [
    await replica(t, { url: `redis://127.0.0.1:${one.port}`, cluster: true }),
    await replica(t, { url: [`redis://127.0.0.1:${two.port}`], cluster: true }),
  ];
  assert.deepEqual(
    both.map((each) => each.outage()),
    [undefined, undefined],
  );
  const claims = await Promise.all(
    Array.from({ length: 40 }, (_, id) => both.map((each) => each.claim('dpop', 'a', `${id}`, 60_000))).flat(),
  );
  assert.deepEqual(count(claims), { added: 40, present: 40 });
  for (const node of [one, two]) assert.notEqual(await node.command('DBSIZE'), ':0\r\n', 'both have keys');
  assert.equal(
    (await both[0]!.limiter('r', { kind: 'bucket', burst: 2, intervalMs: 60_000 }).consume('a', 'a', 'holder')).allowed,
    true,
  );
  const single = await replica(t, { url: `redis://127.0.0.1:${one.port}` });
  const found = [];
  for (let id = 0; id < 20; id += 1) found.push(await refusalOf(single.claim('dpop', 'a', `single ${id}`, 1000)));
  assert.ok(found.includes(refused));
  assert.ok(single.failed.includes('moved'));
});

test('sentinels name the new master after the old one was killed', async (t) => {
  const [master, other] = [await redis(t), await redis(t)];
  await other.command('REPLICAOF', '127.0.0.1', String(master.port));
  await until(
    async () => /master_link_status:up/.test(await other.command('INFO', 'replication')),
    'the replica follows',
  );
  const directory = mkdtempSync(join(tmpdir(), 'portcullis-sentinel-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'sentinel.conf');
  writeFileSync(
    file,
    `sentinel monitor mymaster 127.0.0.1 ${master.port} 1\nsentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 2000\n`,
  );
  const sentinel = await redis(t, [file, '--sentinel']);
  await until(
    async () => /slaves=1/.test(await sentinel.command('INFO', 'sentinel')),
    'the sentinel knows the replica',
  );
  const state = await replica(t, { url: sentinel.url, sentinel: { name: 'mymaster' } }, 500);
  assert.equal(await state.claim('dpop', 'a', 'before', 60_000), 'added');
  await master.signal('SIGKILL');
  assert.equal(await refusalOf(state.claim('dpop', 'a', 'meanwhile', 1000)), refused);
  await until(
    async () => (await refusalOf(state.claim('dpop', 'a', `${Math.random()}`, 60_000))) === 'passed',
    'the new master is found',
  );
  const another = await replica(t, { url: other.url });
  assert.equal(await another.claim('dpop', 'a', 'before', 60_000), 'present', 'what was replicated is kept');
});

function count(values: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}
