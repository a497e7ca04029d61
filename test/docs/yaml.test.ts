// Every YAML block in README.md and docs is taken by the loader: whole files as they stand, parts in the place that they are about.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse, stringify } from 'yaml';
import { configJsonSchema } from '../../src/config/json-schema.ts';
import { exampleFiles, supersetFiles } from '../config/example-files.ts';
import { linesOf } from '../config/support.ts';
import { overlay } from '../support/configuration.ts';
import { type Block, blocksOf, firstLine, pages } from './blocks.ts';
import { folderFor } from './folder.ts';

const root = join(import.meta.dirname, '../..');

/** Blocks that are no part of a configuration of the gateway, by page and first line, and what they are. */
const others: readonly (readonly [page: string, firstLine: string, what: string])[] = [
  ['docs/change-a-policy.md', 'policy: gateway.example.yaml', 'cases, which test/cli/test-policy.test.ts runs'],
  ['docs/deploy.md', 'rules:', 'a rule of the Prometheus adapter'],
  ['docs/ship-to-a-siem.md', 'receivers:', 'a configuration of the OpenTelemetry collector'],
];

type Values = Readonly<Record<string, unknown>>;

const base: Values = {
  version: 1,
  server: { listen: '127.0.0.1:8443', publicUrl: 'https://mcp.example.com' },
  authenticators: {
    corp: { type: 'jwt', issuer: 'https://login.example.com/' },
    'corp-oauth': { type: 'jwt', issuer: 'https://example.auth0.com/', claims: { tenant: 'org_id', email: 'email' } },
  },
  upstreams: Object.fromEntries(
    ['superset', 'finance', 'sales'].map((name) => [name, { url: 'http://127.0.0.1:5008' }]),
  ),
  routes: [
    route({ path: '/mcp', mcp: { rules: [{ allow: { tools: ['*'] }, require: { scopes: ['dashboards:read'] } }] } }),
  ],
  audit: { sinks: [{ type: 'stdout' }] },
};
const sections = Object.keys(configJsonSchema().properties as object);

for (const page of pages) {
  const blocks = blocksOf(page).filter(({ language }) => language === 'yaml');
  if (blocks.length === 0) continue;
  test(`the YAML of ${page} is taken by the loader`, async (t) => {
    const files = await namedFiles();
    for (const block of blocks) {
      const isOther = others.some(([of, line]) => of === page && line === firstLine(block));
      const value = parse(block.text) as unknown;
      if (isOther) continue;
      const isRevocations = typeof value === 'object' && value !== null && 'jti' in value;
      const text = isRevocations
        ? stringify({ ...base, revocation: { file: 'revoked.yaml' } })
        : whole(block, value as Values | readonly Values[]);
      const lines = await linesOf(folderFor(t), text, {
        files: { ...files, ...(isRevocations && { 'revoked.yaml': block.text }) },
        env: { HEC_TOKEN: 'a-token-of-the-collector', OTLP_TOKEN: 'another-token-of-the-collector' },
      });
      const problems = lines.filter((line) => !line.startsWith('warning: '));
      assert.deepEqual(problems, [], `${page}:${block.line}`);
    }
  });
}

test('every row of the table is a block of its page', () => {
  for (const [page, line] of others)
    assert.ok(
      blocksOf(page).some((block) => firstLine(block) === line),
      line,
    );
});

/** The file that the block is, or that it is a part of. */
function whole(block: Block, value: Values | readonly Values[]): string {
  if (Array.isArray(value)) return stringify({ ...base, routes: value });
  const part = value as Values;
  if ('version' in part) return block.text;
  const keys = Object.keys(part);
  if (keys.every((key) => sections.includes(key))) {
    const { routes, ...more } = part;
    const laid = overlay(base, more) as Values;
    return stringify(routes === undefined ? laid : { ...laid, routes: (routes as Values[]).map(route) });
  }
  if (keys.join() === 'identity') return stringify(overlay(base, { upstreams: { superset: part } }));
  if (keys.join() === 'mcp') return stringify({ ...base, routes: [route({ path: '/mcp', ...part })] });
  if (keys.join() === 'metaTools') return stringify({ ...base, routes: [route({ path: '/mcp', mcp: part })] });
  if (keys.join() === 'legacy-keys') return stringify(overlay(base, { authenticators: part }));
  throw new Error(`${block.page}:${block.line}: this YAML is part of nothing that the test knows`);
}

/** A route with what a part leaves out. */
function route(part: Values): Values {
  return { upstream: 'superset', authenticate: 'corp-oauth', ...part };
}

/** The files that the blocks name. */
async function namedFiles(): Promise<Record<string, string>> {
  const files = await exampleFiles();
  const ca = files['tls/superset-ca.crt']!;
  return {
    ...files,
    'tls.crt': files['tls/tls.crt']!,
    'tls.key': files['tls/tls.key']!,
    'tls/valkey-ca.crt': ca,
    'tls/siem-ca.crt': ca,
    'tls/collector-ca.crt': ca,
    'tls/client.crt': files['tls/gateway.crt']!,
    'tls/client.key': files['tls/gateway.key']!,
    'secrets/valkey': 'the-password-of-the-gateway\n',
    'secrets/console': 'the-secret-of-the-console\n',
    'keys.yaml': (await supersetFiles())['keys.yaml']!,
    'next.yaml': readFileSync(join(root, 'test/docs/site/next.yaml'), 'utf8'),
    'superset-tools.json': readFileSync(join(root, 'deploy/superset/superset-6.1.0.catalog.json'), 'utf8'),
  };
}
