// `portcullis keys list` and `rotate`: the ends of keys, and two keys that overlap.
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { keysCommand } from '../../src/cli/keys/keys.ts';
import { loadConfig } from '../../src/config/load.ts';
import { fileOf } from '../config/support.ts';
import { apiKey, hashOf } from '../support/configuration.ts';
import { runCommand } from './capture.ts';

const now = () => Date.UTC(2026, 10, 28, 12);

const keys = (...args: string[]) => runCommand((output) => keysCommand(output, now, {}), args);

const yaml = fileOf({
  authenticators: `
  # two kinds
  legacy:
    type: apiKey
    sunset: 2027-03-01
    keys:
      - id: reporting-tool-1   # the tool
        hash: ${hashOf(apiKey)}
        clientId: reporting_tool
        scopes: [dashboards:read]
        networks: [10.0.0.0/8]
      - {id: old, hash: "${hashOf('sk_old')}", clientId: reporting_tool, scopes: [], expires: 2026-11-01}
  partner: {type: apiKey, prefix: pk_, header: x-partner, keysFile: keys.yaml}`,
  routes: '[{path: /api, upstream: superset, authenticate: {anyOf: [legacy, partner]}}]',
  more: 'revocation: {file: revoked.yaml}',
});
const keysFile = `# partners
- id: p1
  hash: ${hashOf('pk_1')}
  clientId: partner
  scopes: [dashboards:read]
  expires: 2026-12-10
`;

function folder(t: Test) {
  const directory = t.testdir({
    'gateway.yaml': yaml,
    'keys.yaml': keysFile,
    'revoked.yaml': 'keyIds: [legacy/old]',
  });
  const file = join(directory, 'gateway.yaml');
  return { file, read: (name: string) => readFile(join(directory, name), 'utf8') };
}

t.test('list: the first to end first, with its state, and no hash', async (t) => {
  const { file } = folder(t);
  const { out } = await keys('list', '-c', file);
  t.match(out.split('\n').slice(1), [
    /^old +legacy +reporting_tool +2026-11-01 +revoked/,
    /^p1 +partner +partner +2026-12-10 +ends soon +dashboards:read +-$/,
    /^reporting-tool-1 +legacy +reporting_tool +2027-03-01 +good +dashboards:read +10\.0\.0\.0\/8$/,
  ]);
  const json = await keys('list', '-c', file, '--json');
  t.match(JSON.parse(json.out), [{ id: 'old' }, { id: 'p1', end: '2026-12-10T00:00:00.000Z' }, { state: 'good' }]);
  t.notOk(/sha256/.test(out + json.out));
});

t.test('rotate: prints the new key, its entry and the end of the first, and writes nothing', async (t) => {
  const { file, read } = folder(t);
  const { out, err } = await keys('rotate', '-c', file, 'reporting-tool-1');
  t.equal(err, '');
  t.match(out, /^ {2}sk_[\w-]{43}$/m);
  t.match(out, 'expires: 2026-12-05T12:00:00Z');
  t.match(out, /networks:\n {4}- 10\.0\.0\.0\/8/);
  t.equal(await read('gateway.yaml'), yaml);
});

t.test('rotate --write: both keys verify until the first ends, in the configuration or its keys file', async (t) => {
  const { file, read } = folder(t);
  const own = await keys('rotate', '-c', file, 'reporting-tool-1', '--write', '--id', 'reporting-tool-2', '--json');
  const partner = await keys('rotate', '-c', file, 'partner/p1', '--write', '--overlap', '30d', '--json');
  const text = await read('gateway.yaml');
  t.match(text, '# two kinds');
  t.match(text, 'id: reporting-tool-1   # the tool');
  t.match(await read('keys.yaml'), '# partners\n- id: p1\n');
  const { config } = await loadConfig(file, { env: {}, now });
  const made = JSON.parse(own.out);
  t.match(config.authenticators.legacy, {
    keys: [
      { id: 'reporting-tool-1', expires: Date.UTC(2026, 11, 5, 12) },
      {
        id: 'reporting-tool-2',
        hash: hashOf(made.key),
        clientId: 'reporting_tool',
        scopes: ['dashboards:read'],
        networks: ['10.0.0.0/8'],
        expires: Date.UTC(2027, 1, 26),
      },
      { id: 'old' },
    ],
  });
  const made2 = JSON.parse(partner.out);
  t.match(made2.key, /^pk_/);
  t.match(config.authenticators.partner, {
    keys: [{ id: 'p1', expires: Date.UTC(2026, 11, 10) }, { hash: hashOf(made2.key) }],
  });
});

t.test('rotate of a revoked or expired key says that it is refused already', async (t) => {
  const { file } = folder(t);
  const revoked = await keys('rotate', '-c', file, 'old');
  t.match([revoked.err, revoked.exitCode], [/^note: key "old" is revoked and refused already/, undefined]);
  await writeFile(join(file, '../revoked.yaml'), 'keyIds: []');
  const expired = await keys('rotate', '-c', file, 'old');
  t.match([expired.err, expired.exitCode], [/^note: key "old" is expired and refused already/, undefined]);
});

t.test(
  'rotate makes no key that would be refused: a revoked client, subject or id, a sunset that has passed',
  async (t) => {
    const { file, read } = folder(t);
    for (const [list, message] of [
      ['clientIds: [reporting_tool]', /client "reporting_tool" is revoked/],
      ['clientIds: [legacy/reporting_tool]', /client "reporting_tool" is revoked/],
      ['subjects: [reporting_tool]', /client "reporting_tool" is revoked/],
      ['keyIds: [legacy/next]', /key id "next" is revoked: give another --id/],
    ] as const) {
      await writeFile(join(file, '../revoked.yaml'), list);
      const { err, exitCode, out } = await keys('rotate', '-c', file, 'reporting-tool-1', '--id', 'next', '--write');
      t.match([err, out, exitCode], [message, '', 2]);
    }
    t.equal(await read('gateway.yaml'), yaml);
    await writeFile(join(file, '../revoked.yaml'), 'subjects: [legacy/reporting_tool]');
    t.match((await keys('list', '-c', file)).out, /^old .* revoked .*\n.*\nreporting-tool-1 .* revoked /m);
    await writeFile(join(file, '../revoked.yaml'), 'keyIds: []');
    await writeFile(file, yaml.replace('2027-03-01', '2026-11-01'));
    const ended = await keys('rotate', '-c', file, 'reporting-tool-1');
    t.match([ended.err, ended.out, ended.exitCode], [/the sunset of "legacy" has passed/, '', 2]);
  },
);

t.test(
  'a checkout without certificates and secrets: keys are listed and rotated; a keys file that is absent is a problem',
  async (t) => {
    const { file, read } = folder(t);
    const secret = 'authorization: "Bearer ${env:UPSTREAM}"';
    const checkout = yaml.replace(/(upstreams: .*?url: [^,}]+)/, `$1, ${secret}`);
    t.match(checkout, secret);
    await writeFile(file, checkout);
    await rm(join(file, '../revoked.yaml'));
    const { err, out } = await keys('list', '-c', file);
    t.match(out, /^reporting-tool-1 /m);
    t.match(err, /note: .*upstreams\.superset\.authorization and 1 more are not at hand/);
    t.match(err, /note: .*without revocation\.file nothing is revoked/);
    const rotated = await keys('rotate', '-c', file, 'p1', '--write', '--id', 'p2');
    t.match([rotated.err, rotated.exitCode], [/stand-ins/, undefined]);
    t.match(await read('keys.yaml'), 'id: p2');
    const log = join(file, '../other.jsonl');
    await writeFile(log, '');
    const report = await keys('report', '-c', file, log);
    t.match(report.err, /note: .*not at hand[\s\S]*no audit record was read/);
    await rm(join(file, '../keys.yaml'));
    for (const args of [['list'], ['rotate', 'p1'], ['report', log]]) {
      const absent = await keys(...args, '-c', file);
      t.match([absent.err, absent.out, absent.exitCode], [/keysFile.*there is no such file/s, '', 1]);
    }
  },
);

t.test('rotate does not make a key for a client whose name is not at hand', async (t) => {
  const { file } = folder(t);
  await writeFile(file, yaml.replace('clientId: reporting_tool\n', 'clientId: "${env:CLIENT}"\n'));
  const { err, exitCode, out } = await keys('rotate', '-c', file, 'reporting-tool-1');
  t.match([err, out, exitCode], [/legacy\.keys\[0\]\.clientId is not at hand/, '', 2]);
});

t.test('a key that nobody has, an id that is taken and a date that has passed make no key', async (t) => {
  const { file, read } = folder(t);
  for (const [args, message] of [
    [['reporting-tool-2'], /no key "reporting-tool-2" \(did you mean "reporting-tool-1"\?\); keys list/],
    [['partner/old'], /no key "partner\/old"/],
    [['p1', '--id', 'old'], /there is a key "old" already/],
    [['p1', '--expires', '2026-11-01'], /has passed/],
    [['p1', '--overlap', 'week'], /Expected a duration/],
    [['p1', '-c', '/nowhere.yaml'], /cannot read the file/],
  ] as const) {
    const { err, exitCode, out } = await keys('rotate', '-c', file, '--write', ...args);
    t.match([err, out], [message, '']);
    t.ok(Number(exitCode) > 0);
  }
  t.equal(await read('keys.yaml'), keysFile);
});
