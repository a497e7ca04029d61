// `portcullis keys new`: the key, its entry, and what is refused.
import { createHash } from 'node:crypto';
import t from 'tap';
import { parse } from 'yaml';
import { apiKeyEntry } from '../../src/authn/api-key.ts';
import { keysCommand } from '../../src/cli/keys/keys.ts';
import { createApiKey } from '../../src/cli/keys/new-key.ts';
import { capture } from './capture.ts';

const now = () => Date.UTC(2026, 10, 23);
const client = ['--client-id', 'reporting_tool', '--scopes', 'dashboards:read,queries:read exports:create'];

async function make(...args: string[]) {
  const output = capture();
  const command = keysCommand(output, now);
  for (const each of [command, ...command.commands])
    each.exitOverride().configureOutput({ writeErr: output.stderr.write });
  const error = await command.parseAsync(['new', ...args], { from: 'user' }).then(
    () => undefined,
    (thrown: { exitCode: number }) => thrown,
  );
  return { ...output, exitCode: error?.exitCode ?? output.exitCode };
}

t.test('a key is its prefix and 256 random bits, and its hash is of all of it', (t) => {
  const options = { clientId: 'reporting_tool', scopes: ['dashboards:read'], prefix: 'sk_', expires: '2027-01-01' };
  const secret = Buffer.alloc(32, 0xfb);
  const { key, entry } = createApiKey(options, secret);
  t.equal(key, `sk_${secret.toString('base64url')}`);
  t.equal(key.length, 46);
  t.equal(entry.hash, `sha256:${createHash('sha256').update(key).digest('hex')}`);
  t.equal(entry.id, `reporting_tool-${entry.hash.slice(7, 15)}`);
  t.equal(createApiKey({ ...options, id: 'k1' }).entry.id, 'k1');
  t.not(createApiKey(options).key, createApiKey(options).key);
  t.end();
});

t.test('it prints the key once and an entry that the configuration takes as it is', async (t) => {
  const output = await make(...client);
  const text = output.text();
  const key = /^ {2}(sk_[A-Za-z0-9_-]{43})$/m.exec(text)?.[1] ?? '';
  t.equal(text.split(key).length, 2, 'once');
  const entry = parse(text.slice(text.indexOf('- id:')))[0];
  t.strictSame(entry, {
    id: entry.id,
    hash: `sha256:${createHash('sha256').update(key).digest('hex')}`,
    clientId: 'reporting_tool',
    expires: '2027-02-21',
    scopes: ['dashboards:read', 'queries:read', 'exports:create'],
  });
  t.match(entry.id, /^reporting_tool-[0-9a-f]{8}$/);
  t.ok(apiKeyEntry.safeParse(entry).success);
  t.notOk(JSON.stringify(entry).includes(key));
});

t.test('--json, --id, --prefix and --expires', async (t) => {
  const output = await make(...client, '--json', '--id', 'k-1', '--prefix', 'rk_', '--expires', '2027-03-01T12:00:00Z');
  const { key, entry } = JSON.parse(output.text());
  t.match(key, /^rk_[A-Za-z0-9_-]{43}$/);
  t.match(entry, { id: 'k-1', expires: '2027-03-01T12:00:00Z', clientId: 'reporting_tool' });
});

t.test('what makes no sense is refused with 2 or a usage error, and no key is shown', async (t) => {
  for (const [args, message] of [
    [['--client-id', 'c'], /required option '--scopes/],
    [['--scopes', 'a'], /required option '--client-id/],
    [['--client-id', '', '--scopes', 'a'], /Expected a value/],
    [['--client-id', 'c', '--scopes', ' , '], /at least one scope/],
    [['--client-id', 'c', '--scopes', 'a"b'], /scopes\.0: expected a scope/],
    [['--client-id', 'c', '--scopes', 'a', '--prefix', 'sk '], /letters, digits/],
    [['--client-id', 'c', '--scopes', 'a', '--expires', '2026-02-30'], /expires: expected a date/],
    [['--client-id', 'c', '--scopes', 'a', '--expires', '2026-11-23'], /has passed/],
    [['--client-id', 'c', '--scopes', 'a', '--id', 'x'.repeat(200)], /id: /],
  ] as const) {
    const output = await make(...args);
    t.match(output.errors(), message);
    t.ok(Number(output.exitCode) > 0);
    t.equal(output.text(), '');
  }
});
