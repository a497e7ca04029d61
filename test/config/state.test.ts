// Checks of `state`: addresses that fit together, nothing in clear, and keys that every replica needs to have.
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { addressesOf, state as schema } from '../../src/state/schema.ts';
import { fileOf, lineAt, linesOf } from './support.ts';

const withState = (redis: string, more = '') => fileOf({ more: `state: {redis: {${redis}}${more}}` });

t.test('each fault of the addresses, with its place', async (t) => {
  const cases: [what: string, redis: string, mark: string, rest: string][] = [
    [
      'plain beyond loopback',
      'url: "redis://valkey:6379"',
      '"redis://',
      'state.redis.url: redis:// without TLS is accepted on loopback only; use rediss://, or insecure: true',
    ],
    [
      'plain on a name that only begins like loopback',
      'url: "redis://127.evil.example"',
      '"redis://',
      'state.redis.url: redis:// without TLS is accepted on loopback only; use rediss://, or insecure: true',
    ],
    [
      'two servers that are no cluster',
      'url: ["rediss://a", "rediss://b"]',
      '["rediss',
      'state.redis.url: several addresses are those of a cluster or of sentinels; add cluster: true or sentinel',
    ],
    [
      'cluster and sentinel',
      'url: "rediss://a", cluster: true, sentinel: {name: m}',
      '{name: m}',
      'state.redis.sentinel: must not stand beside cluster: true',
    ],
    [
      'a database of a cluster',
      'url: "rediss://a/1", cluster: true',
      '"rediss',
      'state.redis.url: a cluster has database 0 only',
    ],
    [
      'one node without TLS',
      'url: ["rediss://a", "redis://127.0.0.1"], cluster: true',
      '["rediss',
      'state.redis.url: all addresses need the same scheme, user, password and database',
    ],
    ['two passwords', 'url: "rediss://:a@valkey", password: b', 'b}', 'state.redis.password: stands in url already'],
    [
      'a user without a password',
      'url: "rediss://valkey", username: portcullis',
      'redis: ‸{url',
      'state.redis: a user needs a password',
    ],
    [
      'a file for no TLS',
      'url: "redis://127.0.0.1", caFile: ca.crt',
      'redis: ‸{url',
      'state.redis: caFile, certFile and keyFile need rediss://',
    ],
    [
      'braces',
      'url: "rediss://valkey", prefix: "{a}"',
      '"{a}"',
      'state.redis.prefix: must not have braces: a cluster would keep all keys at one node',
    ],
  ];
  for (const [what, redis, mark, rest] of cases) {
    const yaml = withState(redis);
    const found = await linesOf(t.testdir(), yaml, { files: { 'ca.crt': '' } });
    t.ok(found.includes(lineAt(yaml, mark.includes('‸') ? mark : `‸${mark}`, rest)), `${what}: ${found.join('\n')}`);
  }
});

t.test('no address: another scheme, no host, a path, a query, a percent sign that encodes nothing', async (t) => {
  for (const url of [
    'valkey:6379',
    'http://valkey',
    'rediss://',
    'rediss://valkey/queue',
    'rediss://valkey?db=1',
    'rediss://:%zz@valkey',
    'rediss://valkey:70000',
  ]) {
    const yaml = withState(`url: "${url}"`);
    const expected = 'state.redis.url: expected redis:// or rediss:// and a host, such as rediss://valkey:6379/0';
    t.same(await linesOf(t.testdir(), yaml), [lineAt(yaml, `‸"${url}"`, expected)], url);
  }
});

t.test('a password in an address is percent-encoded, and is in no message', async (t) => {
  const url = 'rediss://portcullis:p%40ss%2Fword@[2001:db8::1]:6380/2';
  t.match(addressesOf(schema.parse({ redis: { url } }).redis), [
    { tls: true, host: '2001:db8::1', port: 6380, username: 'portcullis', password: 'p@ss/word', database: 2 },
  ]);
  const yaml = withState('url: "redis://:${env:SECRET}@valkey"');
  const [line = ''] = await linesOf(t.testdir(), yaml, { env: { SECRET: 's3cr3t' } });
  t.match(line, 'without TLS');
  t.notMatch(line, 's3cr3t');
});

t.test('session and assertion keys that each replica makes anew are warned of; named ones are not', async (t) => {
  const parts = (sessions: string, keys: string) => ({
    upstreams: `{superset: {url: "http://127.0.0.1:5008", identity: {assertion: {audience: superset, username: {default: "\${subject}"}${keys}}}}}`,
    routes: `[{path: /mcp, upstream: superset, authenticate: corp, mcp: {rules: [{deny: {tools: [a]}}]${sessions}}}]`,
    authenticators: '{corp: {type: jwt, issuer: https://idp.example.com/}}',
    more: 'state: {redis: {url: "rediss://valkey"}}',
  });
  const files = { 's.key': randomBytes(32).toString('base64') };
  const warned = await linesOf(t.testdir(), fileOf(parts('', '')), { files });
  t.match(
    warned.join('\n'),
    'each has a session key of its own: a session is unknown at the others; set sessionKeyFiles',
  );
  t.match(warned.join('\n'), 'each signs with a key of its own');
  const named = await linesOf(t.testdir(), fileOf(parts(', sessionKeyFiles: [s.key]', '')), { files });
  t.notMatch(named.join('\n'), 'session key of its own');
  const { more: _, ...alone } = parts('', '');
  t.notMatch((await linesOf(t.testdir(), fileOf(alone), { files })).join('\n'), 'replicas share');
});
