// Review of a policy where its certificates, keys and secrets are not: the same decisions, and a note.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { diffCommand } from '../../src/cli/policy/diff.ts';
import { ConfigError, loadConfig } from '../../src/config/load.ts';
import { openPolicyFile } from '../../src/review/policy-file.ts';
import { capture } from '../cli/capture.ts';
import { writeFiles } from '../config/support.ts';

const root = join(import.meta.dirname, '../..');
const now = () => Date.UTC(2026, 10, 28);

for (const example of ['gateway.example.yaml', 'deploy/superset/gateway.yaml']) {
  t.test(`${example} is reviewed as it is checked out`, async (t) => {
    const notes: string[] = [];
    const file = join(root, example);
    const policyFile = await openPolicyFile(file, { env: {}, now, note: (note) => notes.push(note) });
    await policyFile.close();
    t.equal(policyFile.loaded.policies.size, policyFile.loaded.config.routes.length);
    t.match(notes[0], /\S+ and \d+ more are not at hand; stand-ins take their place/);
    await t.rejects(loadConfig(file, { env: {}, now }), ConfigError, 'a gateway does not start so');
    await t.rejects(openPolicyFile(file, { env: {}, now, needsSecrets: true }), ConfigError);
  });
}

t.test(
  'keys and revocations that are not at hand are told by name; secrets of the environment are not needed',
  async (t) => {
    const folder = t.testdir({});
    const yaml = [
      'version: 1',
      'server: {listen: "127.0.0.1:8443", publicUrl: https://mcp.example.com}',
      'authenticators: {keys: {type: apiKey, keysFile: keys.yaml}}',
      'revocation: {file: revoked.yaml}',
      'upstreams: {superset: {url: "http://127.0.0.1:5008", authorization: "Bearer ${env:TOKEN}"}}',
      'routes: [{path: /api, upstream: superset, authenticate: keys}]',
      'audit: {sinks: [{type: stdout}]}',
    ].join('\n');
    writeFiles(folder, { 'gateway.yaml': yaml });
    const notes: string[] = [];
    const file = join(folder, 'gateway.yaml');
    await (await openPolicyFile(file, { env: {}, now, note: (note) => notes.push(note) })).close();
    t.strictSame(notes, [
      `${file}: upstreams.superset.authorization and 2 more are not at hand; stand-ins take their place, and no decision on a made-up request rests on them`,
      `${file}: no key of authenticators.keys.keysFile is known`,
      `${file}: without revocation.file nothing is revoked`,
    ]);
  },
);

t.test('a file that decides, and a value that is wrong, stay problems', async (t) => {
  const folder = t.testdir({});
  const example = readFileSync(join(root, 'gateway.example.yaml'), 'utf8');
  writeFiles(folder, { 'gateway.yaml': `${example}\nshadow: {file: next.yaml}\n`, 'tls/tls.crt': 'no certificate' });
  const error = await openPolicyFile(join(folder, 'gateway.yaml'), { env: {}, now }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  t.type(error, ConfigError);
  const paths = (error as ConfigError).problems.map(({ path }) => path);
  t.strictSame(paths, ['server.tls.certFile', 'shadow.file']);
});

t.test('a file that neither of two has at hand is no difference of them', async (t) => {
  const output = capture();
  const file = join(root, 'gateway.example.yaml');
  await diffCommand({ output, env: {}, now }).parseAsync([file, file], { from: 'user' });
  t.equal(output.text(), 'No difference in who may call what.\n');
});
