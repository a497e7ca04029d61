// The file of `shadow`: loaded and checked as the configuration is, with its own places, stamps and hash.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ConfigError, formatProblem, loadConfig } from '../../src/config/load.ts';
import { configure, yamlOf } from '../support/configuration.ts';

const surroundings = { upstreamUrl: 'http://127.0.0.1:5008', issuer: 'https://idp.example.com/' };
const live = yamlOf(configure(surroundings, { shadow: { file: 'shadows/next.yaml' } }));
const good = yamlOf(configure(surroundings, { revocation: { file: 'revoked.yaml' } }));

async function load(t: Test, next: string | undefined, options: { readonly shadowInForce?: string } = {}) {
  const folder = t.testdir({ shadows: { 'revoked.yaml': 'jti: [a]\n' }, 'gateway.yaml': live });
  if (next !== undefined) await writeFile(join(folder, 'shadows/next.yaml'), next);
  const stamps = new Map<string, string>();
  const loaded = loadConfig(join(folder, 'gateway.yaml'), { env: {}, stamps, ...options });
  const outcome = await loaded.catch((error: unknown) => {
    if (error instanceof ConfigError) return error.problems.map(formatProblem);
    throw error;
  });
  return { folder, outcome, stamps };
}

t.test('a good one: relative to its own file, watched with its files, and no part of the hash', async (t) => {
  const { folder, outcome, stamps } = await load(t, good);
  t.notOk(Array.isArray(outcome), String(outcome));
  const shadow = !Array.isArray(outcome) && outcome.shadow?.loaded;
  t.match(shadow, { config: { revocation: { file: join(folder, 'shadows/revoked.yaml') } } });
  t.ok(stamps.has(join(folder, 'shadows/next.yaml')));
  const other = await load(t, `${good}# another\n`);
  t.ok(!Array.isArray(outcome) && !Array.isArray(other.outcome) && outcome.hash === other.outcome.hash);
});

t.test('bad ones are problems of the configuration, at their place', async (t) => {
  for (const [name, next, problem] of [
    ['missing', undefined, /gateway\.yaml:\d+:\d+ shadow\.file: cannot read the file/],
    ['a syntax error', 'routes: [', /shadows\/next\.yaml:\d+:\d+/],
    ['empty', '', /shadows\/next\.yaml:1:1/],
    ['another format', good.replace('version: 1', 'version: 2'), /shadows\/next\.yaml:\d+:\d+ version/],
    ['an unknown authenticator', good.replace('  - corp', '  - crop'), /next\.yaml:\d+.*"crop"/],
    ['aliases that explode', `a: &a [x, x]\nb: &b [*a, *a]\nc: [${'*b, '.repeat(5000)}*b]\n`, /shadows\/next\.yaml/],
    ['a megabyte', `#${'x'.repeat(1024 * 1024)}`, /shadow\.file: cannot read the file/],
    ['a missing variable', good.replace('https://idp.example.com/', `\${env:NONE}`), /next\.yaml:\d+.*NONE/],
  ] as const) {
    const { outcome } = await load(t, next);
    t.match(outcome, [problem], name);
  }
});

t.test('a folder in its place, and a file that names itself', async (t) => {
  const folder = t.testdir({ 'gateway.yaml': yamlOf(configure(surroundings, { shadow: { file: 'next.yaml' } })) });
  await mkdir(join(folder, 'next.yaml'));
  await t.rejects(loadConfig(join(folder, 'gateway.yaml'), { env: {} }), /shadow\.file: cannot read the file/);
  const own = t.testdir({ 'gateway.yaml': yamlOf(configure(surroundings, { shadow: { file: 'gateway.yaml' } })) });
  const loaded = await loadConfig(join(own, 'gateway.yaml'), { env: {} });
  t.match(loaded.warnings.map(formatProblem), [/gateway\.yaml:\d+:\d+ shadow: .*a shadow has no shadow/]);
});

t.test('while the shadow in force is bad, the configuration is good', async (t) => {
  const folder = t.testdirName;
  const { outcome } = await load(t, 'routes: [', { shadowInForce: join(folder, 'shadows/next.yaml') });
  t.match(outcome, { shadow: { loaded: ConfigError } });
});
