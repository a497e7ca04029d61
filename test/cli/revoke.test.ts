// `portcullis revoke` against a running gateway: what it writes, what it says, and what it refuses to write.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { revokeCommand } from '../../src/cli/revoke/revoke.ts';
import { fileOf } from '../config/support.ts';
import { createTestCertificates, fingerprintOf } from '../support/certificates.ts';
import { apiKey, hashOf, listDashboards } from '../support/configuration.ts';
import { startScenario } from '../support/scenario.ts';
import { runCommand } from './capture.ts';

const now = () => Date.UTC(2026, 10, 28, 12);

const revoke = (...args: string[]) => runCommand((output) => revokeCommand(output, now, {}), args);

const changes = {
  revocation: { file: 'revoked.yaml' },
  routes: [{ path: '/mcp', authenticate: { anyOf: ['corp', 'keys'] }, mcp: { rules: [listDashboards] } }],
};

t.test('a key whose stream is open: the command says whose it is, and the stream ends', async (t) => {
  const scenario = await startScenario(t, changes, {
    files: { 'revoked.yaml': '{}' },
    streamTickMs: 10,
    revocationPollMs: 10,
    reply(request, response) {
      response.writeHead(200, { 'content-type': request.method === 'GET' ? 'text/event-stream' : 'application/json' });
      if (request.method === 'GET') response.flushHeaders();
      else response.end('{"jsonrpc":"2.0","id":1,"result":{}}');
    },
  });
  const stream = await scenario.reporting.hold();
  const file = join(scenario.directory, 'gateway.yaml');
  const text = await readFile(file, 'utf8');
  await writeFile(file, text.replace(/(admin:\s+listen: 127\.0\.0\.1:)0/, `$1${scenario.adminPort}`));
  await writeFile(join(scenario.directory, 'revoked.yaml'), 'jti: [old] # kept\n');
  const { out, err, exitCode } = await revoke('-c', file, '--key', 'k1', '--reason', 'lost laptop');
  t.match([err, exitCode], ['', undefined]);
  t.match(out, 'key k1 of reporting_tool (keys)');
  t.match(out, 'Open streams that end: 1 of reporting_tool on /mcp.');
  t.equal(
    await readFile(join(scenario.directory, 'revoked.yaml'), 'utf8'),
    'jti: [old] # kept\nkeyIds:\n  - k1 # 2026-11-28T12:00:00.000Z lost laptop\n',
  );
  t.equal(await stream.ended(), 'clean');
  t.match(await scenario.record(({ stage }) => stage === 'stream'), { reason: 'revoked' });
  t.equal((await scenario.reporting.call('list_dashboards')).status, 401);
  t.match(await scenario.status(), { streams: [], streamsOmitted: false });
});

const yaml = fileOf({
  authenticators: `{corp: {type: jwt, issuer: "https://idp.example.com/"}, keys: {type: apiKey, keys: [{id: k1, hash: "${hashOf(apiKey)}", clientId: reporting_tool, scopes: [], expires: 2099-01-01}]}}`,
  more: 'revocation: {file: revoked.yaml}',
});

function folder(t: Test, list = '{}') {
  const directory = t.testdir({ 'gateway.yaml': yaml, 'revoked.yaml': list });
  const path = join(directory, 'revoked.yaml');
  return { file: join(directory, 'gateway.yaml'), path, list: () => readFile(path, 'utf8') };
}

t.test('names that nobody has are refused with the nearest one, and nothing is written', async (t) => {
  const { file, list } = folder(t);
  for (const [args, message] of [
    [['--key', 'k2'], /no key "k2" \(did you mean "k1"\?\)\. --force/],
    [['--key', 'corp/k1'], /no key "corp\/k1"/],
    [['--client', 'reporting_tol'], /client "reporting_tol" \(did you mean "reporting_tool"\?\)/],
    [[], /nothing to revoke/],
    [['--key', 'k1', '--file', file], /either -c or --file/],
    [['--key', ' k1'], /without spaces/],
    [['--issued-before', 'yesterday'], /Expected an instant/],
  ] as const) {
    const { err, exitCode, out } = await revoke('-c', file, ...args);
    t.match([err, out], [message, '']);
    t.ok(Number(exitCode) > 0, String(args));
  }
  t.equal(await list(), '{}');
  t.equal((await revoke('-c', file, '--key', 'k2', '--force')).exitCode, undefined);
  t.match(await list(), /k2/);
});

t.test(
  'a client is all its keys and tokens; what stands there already is not added again; --dry-run writes nothing',
  async (t) => {
    const { file, list } = folder(t, 'clientIds: [reporting_tool] # why\n');
    const dry = await revoke('-c', file, '--client', 'reporting_tool', '--subject', 'alice', '--dry-run');
    t.match(dry.out, /client reporting_tool: key k1, every token\n- subject alice: .*\nNothing was written/);
    t.match(dry.out, 'was not asked about open streams');
    t.equal(await list(), 'clientIds: [reporting_tool] # why\n');
    await revoke('-c', file, '--client', 'reporting_tool', '--json', '--issued-before', '2026-11-01');
    t.equal(await list(), 'clientIds: [reporting_tool] # why\nissuedBefore: 2026-11-01\n');
    await revoke('-c', file, '--issued-before', '2026-10-01');
    t.match(await list(), 'issuedBefore: 2026-11-01', 'it never moves back');
  },
);

t.test('a configuration without `revocation`, and one whose file is not there yet', async (t) => {
  const directory = t.testdir({
    'none.yaml': yaml.replace(/revocation: .*/, ''),
    'gateway.yaml': yaml,
    'bad.yaml': yaml.replace('revoked.yaml', 'none/revoked.yaml'),
    'directory.yaml': yaml.replace('revoked.yaml', '.'),
  });
  const [none, file, bad] = [
    join(directory, 'none.yaml'),
    join(directory, 'gateway.yaml'),
    join(directory, 'bad.yaml'),
  ];
  const { err, exitCode } = await revoke('-c', none, '--key', 'k1');
  t.match(err, `add \`revocation: {file: revoked.yaml}\` to ${none} and reload`);
  t.equal(exitCode, 2);
  const list = join(directory, 'revoked.yaml');
  t.match(await revoke('-c', file, '--key', 'k1', '--dry-run'), { err: '', out: /would say/ });
  await t.rejects(readFile(list), { code: 'ENOENT' });
  const made = await revoke('-c', file, '--key', 'k1');
  t.match(made, { err: /revoked\.yaml is new\. What a former file/, exitCode: undefined });
  t.equal(await readFile(list, 'utf8'), 'keyIds:\n  - k1 # 2026-11-28T12:00:00.000Z\n');
  t.match(await revoke('-c', file, '--jti', 'j1'), { err: '' });
  t.match(await revoke('-c', bad, '--key', 'k1'), { err: /no such file/, out: '' });
  t.match(await revoke('-c', join(directory, 'directory.yaml'), '--key', 'k1'), {
    err: /cannot read the file/,
    out: '',
  });
});

t.test('--issued-before 2027-03-01 would refuse every token for months', async (t) => {
  const { file, list, path } = folder(t);
  for (const where of [
    ['-c', file],
    ['--file', path],
  ]) {
    const { err, exitCode } = await revoke(...where, '--issued-before', '2027-03-01');
    t.match(err, /2027-03-01 lies in the future: until then every token is refused\. --force/);
    t.equal(exitCode, 2);
  }
  t.equal(await list(), '{}');
  t.equal((await revoke('-c', file, '--issued-before', '2026-11-28T12:00:00Z')).exitCode, undefined);
  t.equal((await revoke('-c', file, '--issued-before', '2027-03-01', '--force')).exitCode, undefined);
  t.equal((await list()).trim(), 'issuedBefore: 2027-03-01');
});

t.test('a certificate is revoked by its file', async (t) => {
  const { agent } = await createTestCertificates();
  const { file, list } = folder(t);
  const certificate = join(t.testdirName, 'agent.crt');
  await writeFile(certificate, agent.certificatePem);
  await revoke('-c', file, '--certificate', certificate, '--certificate', '0A:1B');
  t.match(await list(), `certificates:\n  - ${fingerprintOf(agent)} # `);
  t.match(await list(), '- 0a:1b # ');
  t.match((await revoke('-c', file, '--certificate', join(t.testdirName, 'none.crt'))).err, /no such file/);
  t.match((await revoke('-c', file, '--certificate', file)).err, /no certificate that can be read/);
});

t.test(
  'the file of a configuration that cannot be read is written by --file; a list that is bad is not touched',
  async (t) => {
    const { path, list } = folder(t, 'jti: x\n');
    t.match((await revoke('--file', path, '--jti', 'j1')).err, /revoked\.yaml:1:6 jti: expected a list/);
    t.equal(await list(), 'jti: x\n');
    const fresh = `${path}.new`;
    t.equal((await revoke('--file', fresh, '--jti', 'j1')).exitCode, undefined);
    t.equal(await readFile(fresh, 'utf8'), 'jti:\n  - j1 # 2026-11-28T12:00:00.000Z\n');
  },
);

t.test('two at a time: neither entry is lost', async (t) => {
  const { path, list } = folder(t);
  const both = await Promise.all(['j1', 'j2'].map((jti) => revoke('--file', path, '--jti', jti)));
  const written = both.filter(({ err }) => err === '').length;
  t.ok(written >= 1);
  for (const { err } of both) t.match(err, /^$|is being written by/);
  t.equal([...(await list()).matchAll(/- j\d/g)].length, written);
});
