// Shared state in Redis against a server that answers as it is told: each way to fail has its outcome, and none of them lets anything pass.
import t, { type Test } from 'tap';
import type { StateOutcome } from '../../src/state/redis/failure.ts';
import { createRedisLimiter } from '../../src/state/redis/redis-limiter.ts';
import { createUsageStore } from '../../src/state/usage-store.ts';
import { createTestCertificates } from '../support/certificates.ts';
import { type RespServer, startRespServer } from '../support/resp-server.ts';
import { connectReplica, refusalOf } from '../support/state-replica.ts';
import { until } from '../support/until.ts';

const server = await startRespServer();
t.teardown(() => server.close());
const bucket = { kind: 'bucket', burst: 10, intervalMs: 2000 } as const;

/** A replica that is closed with the test, and the server its own again. */
async function startReplica(t: Test, written: object = {}, to: RespServer = server, ...more: [number?, object?]) {
  const replica = await connectReplica({ redis: { url: to.url }, ...written }, ...(more as []));
  t.teardown(async () => {
    to.script = undefined;
    await replica.close();
  });
  return replica;
}

t.test('what one replica has claimed is present at every other, with an end', async (t) => {
  const [one, another] = [await startReplica(t), await startReplica(t)];
  t.equal(await one.claim('dpop', 'a', 'x', 70_000), 'added');
  t.equal(await another.claim('dpop', 'a', 'x', 70_000), 'present');
  t.equal(await one.claim('dpop', 'a', 'x', 70_000), 'present');
  const asked = server.commands.filter(([, key]) => key === 'portcullis:dpop:x');
  t.same(asked, Array(2).fill(['SET', 'portcullis:dpop:x', '1', 'NX', 'PX', '70000']), 'its own it knows by itself');
});

t.test('a secret is that of whoever asked first, at every replica', async (t) => {
  const [one, another] = [await startReplica(t), await startReplica(t)];
  const [first, second] = [await one.secret('nonce', 70_000), await another.secret('nonce', 70_000)];
  t.equal(first.length, 32);
  t.same(second, first);
  t.notSame(await another.secret('other', 70_000), first);
});

t.test('a limit is asked with the digest of its key; a refusal is remembered for its time', async (t) => {
  const replica = await startReplica(t);
  const limiter = replica.limiter('sql', bucket);
  t.same(await limiter.consume('jane', 'jane', 'holder'), {
    allowed: true,
    remaining: 9,
    retryAfterMs: 0,
    resetMs: 2000,
  });
  const [, key, ...args] = server.commands.at(-1)!;
  t.match(key, /^portcullis:limit:sql:[\w-]{43}$/);
  t.same(args.slice(2), ['10', '20000']);
  server.script = () => '*2\r\n:11\r\n:1900\r\n';
  t.match(await limiter.consume('jane', 'jane', 'holder'), {
    allowed: false,
    remaining: 0,
    retryAfterMs: 1900,
    resetMs: 19_900,
  });
  const asked = server.commands.length;
  t.match(await limiter.consume('jane', 'jane', 'holder'), { allowed: false, remaining: 0 });
  t.equal(server.commands.length, asked);
});

t.test('a caller without room for made-up keys is refused those, and never what it does not make up', async (t) => {
  const asked: string[] = [];
  const limiter = createRedisLimiter('per-tool', bucket, {
    ...{ keyPrefix: '', digest: (key: string) => key, now: () => 0 },
    usages: createUsageStore({ keys: 20, keysPerHolder: 2 }, () => 0),
    async run(_script, key) {
      asked.push(key);
      return [1, 2000];
    },
  });
  for (const tool of ['one', 'two']) t.match(await limiter.consume(tool, 'eve', 'holder'), { allowed: true });
  for (const origin of ['holder', 'common'] as const)
    t.match(await limiter.consume('three', 'eve', origin), { allowed: false, retryAfterMs: 20_000, isShared: true });
  await limiter.giveBack('three', 'eve', 'holder');
  t.equal(asked.length, 2, 'another replica with room would not know of a shared bucket');
  t.match(await limiter.consume('two', 'eve', 'holder'), { allowed: true });
  t.match(await limiter.consume('eve', 'eve', 'given'), { allowed: true, isShared: undefined });
  t.match(await limiter.consume('three', 'alice', 'holder'), { allowed: true });
});

const everywhere: [what: string, reply: string, outcome: StateOutcome][] = [
  ['a replica after a fail-over', "-READONLY You can't write against a read only replica.\r\n", 'read_only'],
  ['a server that loads its data', '-LOADING Redis is loading the dataset in memory\r\n', 'loading'],
  ['a replica without its master', '-MASTERDOWN Link with MASTER is down\r\n', 'loading'],
  ['a server that wants a password', '-NOAUTH Authentication required.\r\n', 'unauthenticated'],
  ['a wrong password', '-WRONGPASS invalid username-password pair or user is disabled.\r\n', 'unauthenticated'],
  [
    'a user without the command',
    "-NOPERM User portcullis has no permissions to run the 'set' command\r\n",
    'forbidden',
  ],
  ['a full memory', "-OOM command not allowed when used memory > 'maxmemory'.\r\n", 'out_of_memory'],
  ['a full disk', '-MISCONF Redis is configured to save RDB snapshots, but it is unable to\r\n', 'out_of_memory'],
  ['a node of a cluster', '-MOVED 3999 127.0.0.1:6381\r\n', 'moved'],
  ['a cluster that is down', '-CLUSTERDOWN The cluster is down\r\n', 'cluster_down'],
  ['a server that runs a script', '-BUSY Redis is busy running a script.\r\n', 'busy'],
  ['a key of another program', '-WRONGTYPE Operation against a key holding the wrong kind of value\r\n', 'wrong_type'],
  ['another error', '-ERR unknown command\r\n', 'refused'],
  ['a number', ':1\r\n', 'unexpected_reply'],
  ['another text', '+QUEUED\r\n', 'unexpected_reply'],
  ['an empty list', '*0\r\n', 'unexpected_reply'],
  ['a list of texts', '*2\r\n$1\r\n1\r\n$1\r\n1\r\n', 'unexpected_reply'],
  ['a pair that is no answer', '*2\r\n:-1\r\n:5\r\n', 'unexpected_reply'],
  ['the end of the connection in the middle of the answer', 'cut', 'unreachable'],
];

t.test('each wrong answer has a named outcome, and lets neither proof, call nor secret pass', async (t) => {
  for (const [index, [what, reply, outcome]] of everywhere.entries()) {
    const replica = await startReplica(t);
    server.script = () => reply;
    t.equal(await refusalOf(replica.claim('dpop', 'a', `proof ${index}`, 1000)), '503 state_unavailable', what);
    server.script = undefined;
    t.equal(replica.failed[0], outcome, what);
    await replica.close();
  }
});

t.test('the same, of a limit and of a secret', async (t) => {
  for (const [what, reply, outcome] of everywhere) {
    const replica = await startReplica(t);
    server.script = () => reply;
    t.equal(
      await refusalOf(replica.limiter('sql', bucket).consume('jane', 'jane', 'holder')),
      '503 state_unavailable',
      what,
    );
    t.equal(replica.failed[0], outcome, what);
    if (reply !== 'cut') t.equal(await refusalOf(replica.secret(what, 1000)), '503 state_unavailable', what);
    server.script = undefined;
    await replica.close();
  }
});

t.test('four failures of one key of another type begin no outage: other keys are answered', async (t) => {
  const replica = await startReplica(t);
  const limiter = replica.limiter('sql', bucket);
  server.script = () => '-WRONGTYPE Operation against a key holding the wrong kind of value\r\n';
  for (let count = 0; count < 4; count += 1)
    t.equal(await refusalOf(limiter.consume('jane', 'jane', 'holder')), '503 state_unavailable');
  server.script = undefined;
  t.same(replica.failed, Array(4).fill('wrong_type'));
  t.equal(replica.outage(), undefined);
  t.same(replica.outages, []);
  t.equal(await replica.claim('dpop', 'a', 'beside a bad key', 1000), 'added');
  await replica.close();
});

t.test('a silent server is waited for a short time; after three commands without an answer nobody waits', async (t) => {
  const replica = await startReplica(t, {}, server, 100);
  server.script = () => 'silence';
  const asked = ['1', '2', '3'].map((id) => refusalOf(replica.claim('dpop', 'silent', id, 1000)));
  t.same(await Promise.all(asked), Array(3).fill('503 state_unavailable'));
  t.same(replica.failed, Array(3).fill('timeout'));
  t.equal(replica.outage()?.outcome, 'timeout');
  const commands = server.commands.length;
  t.equal(await refusalOf(replica.claim('dpop', 'silent', '4', 1000)), '503 state_unavailable');
  t.equal(
    server.commands.filter(([name]) => name === 'SET').length,
    server.commands.slice(0, commands).filter(([name]) => name === 'SET').length,
  );
  server.script = undefined;
  await until(() => replica.outage() === undefined, 'the outage is over');
  t.equal(await replica.claim('dpop', 'silent', '5', 1000), 'added');
  t.same(replica.outages, ['began', 'ended']);
});

t.test(
  'a server that is gone is found again; onFailure: local goes on with the memory of the process meanwhile',
  async (t) => {
    const gone = await startRespServer();
    t.teardown(() => gone.close());
    const replica = await startReplica(t, { onFailure: 'local' }, gone);
    t.equal(await replica.claim('dpop', 'a', 'before', 70_000), 'added');
    const secret = await replica.secret('nonce', 70_000);
    await gone.stop();
    t.equal(await replica.claim('dpop', 'a', 'before', 70_000), 'present', 'the process has not forgotten its own');
    t.equal(await replica.claim('dpop', 'a', 'meanwhile', 70_000), 'added');
    t.equal(await replica.claim('dpop', 'a', 'meanwhile', 70_000), 'present');
    const limiter = replica.limiter('two', { kind: 'window', points: 2, windowMs: 86_400_000 });
    const allowed = [
      await limiter.consume('a', 'a', 'holder'),
      await limiter.consume('a', 'a', 'holder'),
      await limiter.consume('a', 'a', 'holder'),
    ];
    t.same(
      allowed.map((each) => each.allowed),
      [true, true, false],
    );
    t.same(await replica.secret('nonce', 70_000), secret, 'what was shared is still known');
    t.equal((await replica.secret('another', 70_000)).length, 32);
    t.ok(replica.failed.every((outcome) => outcome === 'unreachable'));
    t.same(replica.outages, ['began'], 'one outage, however many questions');
    await gone.listen();
    await until(() => replica.outage() === undefined, 'the outage is over');
    t.equal(await replica.claim('dpop', 'a', 'after', 70_000), 'added');
  },
);

t.test('a server that is away at the start begins an outage, and one that comes ends it', async (t) => {
  const late = await startRespServer();
  t.teardown(() => late.close());
  await late.stop();
  const replica = await startReplica(t, {}, late);
  t.equal(replica.outage()?.outcome, 'unreachable');
  t.equal(await refusalOf(replica.claim('dpop', 'a', 'x', 1000)), '503 state_unavailable');
  await late.listen();
  await until(() => replica.outage() === undefined, 'the outage is over');
  t.equal(await replica.claim('dpop', 'a', 'y', 1000), 'added');
});

t.test('TLS is verified: a server that nobody vouches for gets no command', async (t) => {
  const { authority, stranger } = await createTestCertificates();
  const own = await authority.issue({ commonName: 'valkey', dnsNames: ['localhost'], server: true });
  const secure = await startRespServer({ cert: own.certificatePem, key: own.keyPem });
  t.teardown(() => secure.close());
  const redis = { url: `rediss://localhost:${secure.port}`, caFile: 'ca.crt' };
  const distrustful = await startReplica(t, { redis }, secure, 30_000, { 'ca.crt': stranger.certificatePem });
  t.equal(distrustful.outage()?.outcome, 'tls');
  t.equal(await refusalOf(distrustful.claim('dpop', 'a', 'x', 1000)), '503 state_unavailable');
  t.same(secure.commands, []);
  await distrustful.close();
  const replica = await startReplica(t, { redis }, secure, 30_000, { 'ca.crt': authority.certificatePem });
  t.equal(await replica.claim('dpop', 'a', 'x', 1000), 'added');
});
