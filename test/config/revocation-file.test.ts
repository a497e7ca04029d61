// The revocation file: format, problems with their places, and reloading.
import { execFileSync } from 'node:child_process';
import { renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import {
  compileRevocations,
  noEntries,
  type RevocationEntries,
  revokesCaller,
} from '../../src/authn/caller/revocations.ts';
import {
  addTemporary,
  maxTemporaryRevocations,
  type TemporaryRevocation,
  temporaryRevocationMs,
} from '../../src/authn/caller/temporary-revocations.ts';
import { stampOf } from '../../src/config/files/files.ts';
import { maxRevocationBytes, parseRevocationFile } from '../../src/config/files/revocation-file.ts';
import { ConfigError } from '../../src/config/load.ts';
import {
  createRevocationWatcher,
  type RevocationWatcher,
  revocationPollMs,
} from '../../src/gateway/revocation-watcher.ts';
import { agentCaller } from '../support/forwarder.ts';
import { linesOf, loadText } from './support.ts';

const config = (more = '') => `version: 1
server: {listen: "127.0.0.1:8443", publicUrl: https://mcp.example.com}
authenticators: {corp-oauth: {type: jwt, issuer: https://idp.example.com/}}
upstreams: {superset: {url: "http://127.0.0.1:5008"}}
revocation: {file: lists/revoked.yaml}
routes: [{path: /mcp, upstream: superset, authenticate: corp-oauth, mcp: {preset: superset}}]
audit: {sinks: [{type: stdout}]}
${more}`;

const entriesOf = (text: string): RevocationEntries =>
  parseRevocationFile('revoked.yaml', Buffer.from(text)).list.entries;

function problemsOf(text: string | Buffer): string {
  try {
    parseRevocationFile('revoked.yaml', Buffer.from(text));
    return 'no problem';
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.message;
  }
}

t.test('a list may name every kind of credential, or nothing', (t) => {
  t.same(entriesOf('{}'), noEntries);
  t.match(entriesOf('jti: [a]\nsubjects: [b]\nclientIds: [corp/c]\nkeyIds: [d]\nissuedBefore: 2026-11-01\n'), {
    jti: ['a'],
    subjects: ['b'],
    clientIds: ['corp/c'],
    keyIds: ['d'],
    issuedBefore: Date.UTC(2026, 10, 1),
  });
  t.end();
});

t.test('a certificate is named by its serial number or its fingerprint, as tools write them', (t) => {
  const digits = '0f'.repeat(32);
  const spelled: Record<string, string> = {
    '"0A:1B:2C"': 'a1b2c',
    '0a1b2c': 'a1b2c',
    '"0x0A1B2C"': 'a1b2c',
    '"serial=0A1B2C"': 'a1b2c',
    '"Serial Number: 0A 1B 2C"': 'a1b2c',
    '"000a-1b-2c"': 'a1b2c',
    '"1234"': '1234',
    [`"${digits}"`]: `sha256:${digits}`,
    [`sha256:${digits.toUpperCase()}`]: `sha256:${digits}`,
    [`"sha256 Fingerprint=${digits.replace(/..(?=.)/g, '$&:')}"`]: `sha256:${digits}`,
    [`"SHA-256:${digits}"`]: `sha256:${digits}`,
  };
  for (const [text, name] of Object.entries(spelled)) {
    t.same(entriesOf(`certificates: [${text}]`).certificates, [name], text);
  }
  for (const text of [
    '1234',
    '12e45',
    '""',
    'CN=agent',
    `sha256:${digits}0`,
    'sha1:0a',
    '"0:g"',
    `"${'a'.repeat(43)}"`,
  ]) {
    t.match(
      problemsOf(`certificates: [ok, ${text}]`.replace('ok, ', '"0a", ')),
      'revoked.yaml:1:22 certificates[1]: expected a serial number in hexadecimal',
      text,
    );
  }
  t.end();
});

t.test('every mistake is told at its place, and a list with one is no list', (t) => {
  t.equal(
    problemsOf('jti: [7, "", " x"]\nsubject: [a]\nissuedBefore: yesterday\nkeyIds: k1\nkeyIds: []\n'),
    [
      'revoked.yaml:5:1 keyIds: duplicate key',
      'revoked.yaml:1:7 jti[0]: expected a string; put quotes around digits',
      'revoked.yaml:1:10 jti[1]: must not be empty',
      'revoked.yaml:1:14 jti[2]: must not begin or end with a space',
      'revoked.yaml:5:9 keyIds: expected a list',
      'revoked.yaml:3:15 issuedBefore: expected a date such as 2026-12-31 or an instant such as 2026-12-31T12:00:00Z',
      'revoked.yaml:2:1 subject: unknown key "subject" (did you mean "subjects"?)',
    ].join('\n'),
  );
  t.match(problemsOf(''), 'the file is empty');
  t.match(problemsOf('# all gone'), 'the file is empty');
  t.match(problemsOf('[a]'), 'expected a map');
  t.match(problemsOf('jti: [a'), 'not valid YAML');
  t.match(problemsOf(Buffer.from([0x6a, 0xff])), 'not UTF-8');
  t.match(problemsOf('a: &a [x, x]\njti: !!set {a}'), 'YAML tags are not understood here');
  t.match(problemsOf(`jti: [${'a,'.repeat(10_001)}]`), 'has more than 10000 entries');
  t.equal(problemsOf(`jti: [${'a,'.repeat(9999)}]\nissuedBefore: 2026-01-01`), 'no problem');
  t.end();
});

t.test('check names what is wrong with the list, and what in it can do nothing', async (t) => {
  const lines = (list: string | undefined) =>
    linesOf(t.testdir(), config(), list === undefined ? {} : { files: { 'lists/revoked.yaml': list } });
  t.same(await lines('jti: [a]\n'), []);
  t.same(await lines(undefined), ['gateway.yaml:5:20 revocation.file: cannot read the file: there is no such file']);
  t.same(await lines('jti: a\n'), ['lists/revoked.yaml:1:6 jti: expected a list']);
  t.same(await lines('x'.repeat(maxRevocationBytes + 1)), [
    'gateway.yaml:5:20 revocation.file: cannot read the file: it is larger than 1 MiB',
  ]);
  t.same(await lines('clientIds: [corp-oath/agent, corp-oauth/agent, a/b]\nissuedBefore: 2099-01-01\n'), [
    'warning: lists/revoked.yaml:1:13 clientIds[0]: there is no authenticator "corp-oath" (did you mean "corp-oauth"?)',
    'warning: lists/revoked.yaml:2:15 issuedBefore: lies in the future: until then every token is refused',
  ]);
});

t.test('the list is no part of the hash, and one that is in force may be bad in a reload', async (t) => {
  const folder = t.testdir();
  const first = await loadText(folder, config(), { files: { 'lists/revoked.yaml': 'jti: [a]' } });
  t.match(first.revocations, { path: join(folder, 'lists/revoked.yaml'), list: { entries: { jti: ['a'] } } });
  const second = await loadText(folder, config(), { files: { 'lists/revoked.yaml': 'jti: [b]' } });
  t.equal(second.hash, first.hash);
  t.notOk(first.files.has(first.revocations!.path));
  await t.rejects(loadText(folder, config(), { files: { 'lists/revoked.yaml': 'jti: [' } }), { name: 'ConfigError' });
  const excused = await loadText(folder, config(), {
    files: { 'lists/revoked.yaml': 'jti: [' },
    revocationsInForce: first.revocations!.path,
  });
  const { path } = first.revocations!;
  t.strictSame(excused.revocations, { path, list: undefined, stamp: await stampOf(path) });
});

t.test('ids are bare or of one authenticator, and each kind of credential is asked for what it has', (t) => {
  const oauth = {
    ...agentCaller.principal,
    authenticator: 'corp',
    subject: 'auth0|7',
    credentialId: 'x/1',
    issuedAt: 1000,
  };
  const key = { ...oauth, kind: 'api-key', authenticator: 'keys', credentialId: 'k1', issuedAt: undefined } as const;
  const certificate = {
    ...key,
    kind: 'mtls',
    authenticator: 'workloads',
    credentialId: `sha256:${'a'.repeat(64)}`,
  } as const;
  const by = (entries: Partial<RevocationEntries>) => {
    const revocations = compileRevocations({ ...noEntries, ...entries });
    return [oauth, key, certificate].map((each) => revocations.ofPrincipal(each));
  };
  t.strictSame(by({}), [undefined, undefined, undefined]);
  t.strictSame(by({ jti: ['x/1'] }), ['jti', undefined, undefined]);
  t.strictSame(by({ jti: ['corp/x/1', 'k1'] }), ['jti', undefined, undefined]);
  t.strictSame(by({ jti: ['keys/x/1', '1', '/x/1'] }), [undefined, undefined, undefined]);
  t.strictSame(by({ clientIds: ['ai_agent_prod'] }), ['clientId', 'clientId', 'clientId']);
  t.strictSame(by({ clientIds: ['keys/ai_agent_prod'] }), [undefined, 'clientId', undefined]);
  t.strictSame(by({ subjects: ['workloads/auth0|7'] }), [undefined, undefined, 'subject']);
  t.strictSame(by({ keyIds: ['x/1', 'k1'] }), [undefined, 'keyId', undefined]);
  t.strictSame(by({ certificates: [certificate.credentialId] }), [undefined, undefined, 'certificate']);
  t.strictSame(by({ issuedBefore: 1000 }), [undefined, undefined, undefined], 'the instant itself is not before it');
  t.strictSame(by({ issuedBefore: 1001 }), ['issuedBefore', undefined, undefined]);
  const undated = compileRevocations({ ...noEntries, issuedBefore: 0 }).ofPrincipal({ ...oauth, issuedAt: undefined });
  t.equal(undated, 'issuedBefore', 'a token that does not say when it was issued');
  const beside = compileRevocations({ ...noEntries, certificates: [certificate.credentialId] });
  t.ok(revokesCaller(beside, { ...agentCaller, principal: oauth, certificate }, []));
  t.notOk(revokesCaller(beside, { ...agentCaller, principal: oauth }, []));
  t.notOk(revokesCaller(beside, undefined, []));
  t.end();
});

interface Followed {
  readonly feed: RevocationWatcher;
  readonly path: string;
  readonly records: readonly Readonly<Record<string, unknown>>[];
  readonly metric: () => string;
  /** Lets this much time pass and begins a look, without waiting for it. */
  elapse(ms: number): void;
  /** Lets this much time pass and looks once; yields whether `a` and `b` are revoked. */
  after(ms: number): Promise<string>;
}

/** A feed on a clock of its own that looks only when told to. */
function follow(
  t: Test,
  content: string,
  path = join(t.testdir(), 'revoked.yaml'),
  look: (path: string) => Promise<string> = stampOf,
): Followed {
  let time = 0;
  let metric = '';
  const records: Readonly<Record<string, unknown>>[] = [];
  writeFileSync(path, content);
  const { list } = parseRevocationFile(path, Buffer.from(content));
  const feed = createRevocationWatcher(
    { path, list },
    {
      log: pino({ level: 'silent' }),
      intervalMs: 0,
      monotonic: () => time,
      now: () => time,
      stampOf: look,
      record: (detail) => records.push(detail),
      observe: {
        revocationsTaken: (entries) => {
          metric = `${entries} entries`;
        },
        revocationsRefused: () => {
          metric = 'refused';
        },
        temporaryRevocations: (count) => {
          metric = `${count} temporary`;
        },
      },
    },
  );
  t.teardown(() => feed.close());
  return {
    feed,
    path,
    records,
    metric: () => metric,
    elapse(ms) {
      time += ms;
      void feed.poll();
    },
    async after(ms) {
      time += ms;
      await feed.poll();
      return ['a', 'b']
        .filter((jti) => feed.current().ofPrincipal({ ...agentCaller.principal, credentialId: jti }) === 'jti')
        .join('');
    },
  };
}

t.test(
  'what is added counts at the next look, what is taken out when the file has been still: both within a second',
  async (t) => {
    const { after, path, feed, records } = follow(t, 'jti: [a]');
    t.equal(await after(0), 'a', 'from the start');
    t.same(records, [], 'the start has its own record');
    await after(500);
    writeFileSync(path, 'jti: [b]');
    t.equal(await after(revocationPollMs), 'ab');
    t.match(records, [{ event: 'revocation list taken', entries: 1 }]);
    t.equal(await after(300), 'ab', 'not still for long enough');
    t.equal(await after(200), 'b');
    t.ok(2 * revocationPollMs + 500 < 1000, 'a look to see the change, and one after it was still');
    t.equal(records.length, 1, 'one change, one record');
    const list = feed.current();
    await after(5000);
    t.equal(feed.current(), list, 'nothing happens without a change');
  },
);

t.test('half a list gives nothing back, whatever it looks like while it is written', async (t) => {
  const { after, path, feed, records, metric } = follow(t, 'jti: [a]\nclientIds: [x]\n');
  await after(0);
  await after(500);
  for (const half of ['', 'jti: [', 'jti: [b]', 'jt', '{}']) {
    writeFileSync(path, half);
    t.match(await after(200), 'a', JSON.stringify(half));
  }
  t.equal(await after(200), 'ab', 'what was seen in between counts as well');
  t.strictSame(feed.state()?.problem, undefined, 'nothing is said of it while it is written');
  writeFileSync(path, 'jti: [b]\n');
  await after(200);
  t.equal(await after(500), 'b');
  t.equal(metric(), '1 entries');
  t.ok(records.every(({ event }) => event === 'revocation list taken'));
  writeFileSync(path, 'jti: [a]\n');
  for (let passed = 0; passed < 5000; passed += 200) {
    t.equal(await after(200), 'ab', 'not while it keeps changing');
    writeFileSync(path, `jti: [a] ${'#'.repeat(passed + 1)}\n`);
  }
  t.equal(await after(200), 'a', 'but not for ever');
});

t.test('a bad or missing file leaves the last good list in force and says so, until it is good again', async (t) => {
  const { after, path, feed, records, metric } = follow(t, 'jti: [a]');
  await after(0);
  await after(500);
  const bad: Record<string, [() => void, RegExp]> = {
    'no YAML': [() => writeFileSync(path, 'jti: [a'), /revoked\.yaml:1:\d+ not valid YAML/],
    'an unknown key': [() => writeFileSync(path, 'jti: [a]\nkey: [k]'), /revoked\.yaml:2:1 key: unknown key/],
    empty: [() => writeFileSync(path, ''), /the file is empty/],
    'too large': [() => writeFileSync(path, `#${'x'.repeat(maxRevocationBytes)}`), /larger than 1 MiB/],
    missing: [() => rmSync(path), /no such file/],
    'a pipe': [() => void execFileSync('mkfifo', [path]), /not a regular file/],
  };
  for (const [name, [spoil, problem]] of Object.entries(bad)) {
    spoil();
    const before = records.length;
    t.equal(await after(200), 'a', name);
    t.equal(await after(500), 'a', name);
    t.match(feed.state(), { entries: 1, problem }, name);
    t.match(records.slice(before), [{ event: 'revocation list refused', problem }], name);
    t.equal(metric(), 'refused', name);
    await after(1000);
    t.equal(records.length, before + 1, 'once');
  }
  rmSync(path);
  writeFileSync(path, 'jti: [a]');
  t.equal(await after(200), 'a');
  t.strictSame(feed.state()?.problem, undefined);
  t.match(records.at(-1), { event: 'revocation list taken', entries: 1 });
  await after(500);
  t.equal(metric(), '1 entries');
});

t.test('a file system that hangs is told of, and the last good list stays until it answers', async (t) => {
  let answer = () => {};
  let hangs = false;
  const hanging = async (path: string) => {
    if (hangs) await new Promise<void>((resolve) => (answer = resolve));
    return stampOf(path);
  };
  const { after, elapse, feed, records, metric } = follow(t, 'jti: [a]', undefined, hanging);
  await after(0);
  await after(500);
  hangs = true;
  const look = after(200);
  elapse(4800);
  t.strictSame(feed.state()?.problem, undefined, 'not yet');
  elapse(200);
  t.match(feed.state(), { entries: 1, problem: 'the file system does not answer' });
  elapse(200);
  t.match(records, [{ event: 'revocation list refused' }], 'once');
  t.equal(metric(), 'refused');
  hangs = false;
  answer();
  t.equal(await look, 'a');
  t.strictSame(feed.state()?.problem, undefined);
  t.equal(metric(), '1 entries');
});

t.test('the swap of a link to a folder is a change, as Kubernetes renews what it mounts', async (t) => {
  const folder = t.testdir({ '..1': { 'revoked.yaml': '{}' }, '..2': { 'revoked.yaml': 'jti: [a]' } });
  symlinkSync('..1', join(folder, '..data'));
  symlinkSync(join('..data', 'revoked.yaml'), join(folder, 'revoked.yaml'));
  const { after } = follow(t, '{}', join(folder, 'revoked.yaml'));
  t.equal(await after(0), '');
  symlinkSync('..2', join(folder, '..data_tmp'));
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
  t.equal(await after(200), 'a');
});

t.test('another configuration brings another list, or none', async (t) => {
  const { after, feed, path } = follow(t, 'jti: [a]');
  await after(0);
  writeFileSync(path, 'jti: [b]');
  feed.follow({ path, list: undefined });
  t.equal(await after(200), 'ab', 'the same file goes on');
  const other = `${path}.other`;
  writeFileSync(other, 'jti: [b]');
  feed.follow({ path: other, list: parseRevocationFile(other, Buffer.from('jti: [b]')).list });
  t.equal(await after(0), 'b');
  feed.follow(undefined);
  t.equal(await after(0), '');
  t.strictSame(feed.state(), undefined);
});

t.test(
  'a temporary revocation holds beside the file, whatever becomes of that, for its hour to the millisecond',
  async (t) => {
    const { after, path, feed, metric } = follow(t, '{}');
    const { authenticator } = agentCaller.principal;
    const revoked = { kind: 'oauth', authenticator, id: 'b', by: 'ops', until: temporaryRevocationMs } as const;
    feed.setTemporary([revoked]);
    t.equal(metric(), '1 temporary');
    t.equal(await after(0), 'b');
    writeFileSync(path, 'jti: [a]');
    t.equal(await after(1000), 'ab');
    feed.follow(undefined);
    t.equal(await after(0), 'b', 'a configuration without a list');
    t.equal(await after(temporaryRevocationMs - 1001), 'b', 'its last millisecond');
    t.equal(await after(1), '');
    t.same(feed.temporary(), []);
    t.equal(metric(), '0 temporary');
  },
);

t.test('an id of another authenticator, or of another kind, is not the one that was revoked for an hour', async (t) => {
  const { after, feed } = follow(t, '{}');
  const { authenticator } = agentCaller.principal;
  const until = temporaryRevocationMs;
  feed.setTemporary([
    { kind: 'oauth', authenticator: `${authenticator}2`, id: 'a', by: 'ops', until },
    { kind: 'api-key', authenticator, id: 'a', by: 'ops', until },
    { kind: 'mtls', authenticator, id: `sha256:${'a'.repeat(64)}`, by: 'ops', until },
  ]);
  t.equal(await after(0), '');
  const certificate = { ...agentCaller.principal, kind: 'mtls', credentialId: `sha256:${'a'.repeat(64)}` } as const;
  t.equal(feed.current().ofPrincipal(certificate), 'certificate');
});

t.test('temporary revocations: the same credential again is one entry until later, and the list has a bound', (t) => {
  const entry = (id: string, until: number): TemporaryRevocation => ({
    kind: 'api-key',
    authenticator: 'keys',
    id,
    by: 'ops',
    until,
  });
  t.same(addTemporary([entry('k1', 10), entry('k2', 10)], entry('k1', 20), 5), [entry('k2', 10), entry('k1', 20)]);
  t.same(addTemporary([entry('k2', 10)], entry('k1', 20), 10), [entry('k1', 20)], 'what has ended goes');
  const full = Array.from({ length: maxTemporaryRevocations }, (_, index) => entry(`k${index}`, 10));
  t.equal(addTemporary(full, entry('another', 20), 5), 'full');
  t.equal(addTemporary(full, entry('k7', 20), 5).length, maxTemporaryRevocations);
  t.end();
});
