// `portcullis diff`: the meaning of changes, its formats and its exit codes.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { diffCommand } from '../../src/cli/policy/diff.ts';
import { capture } from '../cli/capture.ts';
import { exampleFiles } from '../config/example-files.ts';
import { fileOf, now, writeFiles } from '../config/support.ts';
import { hashOf } from '../support/configuration.ts';

const root = join(import.meta.dirname, '../..');
const folder = t.testdir();

async function diff(before: string, after: string, ...args: readonly string[]) {
  writeFiles(folder, { 'gateway.yaml': before, 'next.yaml': after });
  const output = capture();
  const command = diffCommand({ output, env: {}, now: () => now });
  const paths = [join(folder, 'gateway.yaml'), join(folder, 'next.yaml')];
  await command.parseAsync([...paths, ...args], { from: 'user' });
  return { text: output.text(), exitCode: output.exitCode };
}

/** The text with another part, which must be in it. */
function changed(yaml: string, from: string | RegExp, to: string): string {
  const next = yaml.replace(from, to);
  if (next === yaml) throw new Error(`there is no ${from}`);
  return next;
}

t.test('the example: without require of the rule sql the frontend gains execute_sql', async (t) => {
  const example = readFileSync(join(root, 'gateway.example.yaml'), 'utf8');
  writeFiles(folder, await exampleFiles());
  const required = /( +- name: sql .*\n +allow: \{tools: \[execute_sql\]\})\n +require:\n(?: {12}.*\n)+/;
  const args = ['--fail-on', 'widened', '--client', 'analytics_frontend'];
  const { text, exitCode } = await diff(example, changed(example, required, '$1\n'), ...args);
  t.equal(exitCode, 1);
  t.equal(
    text,
    [
      'superset-mcp  /mcp',
      '  execute_sql',
      '      + ai_agent_prod of corp-oauth may do more: before with scope queries:execute, with a',
      '        certificate of workloads, if `request.limit` >= 1 and `request.limit` <= 1000; now with a',
      '        certificate of workloads [sql]',
      '      + any other token of corp-oauth or partner-opaque (today reporting_tool, analytics_frontend)',
      '        gains it: yes [sql]',
      '      + ai_agent_prod of partner-opaque gains it: with a certificate of workloads [sql]',
      '      + key legacy-keys/reporting-tool-1 gains it: from 10.0.0.0/8, until 2027-06-30 [sql]',
      '',
      'Widened: somebody may do what was not allowed before, or that cannot be ruled out.',
      '',
    ].join('\n'),
  );
  const page = readFileSync(join(root, 'docs/review-access.md'), 'utf8');
  t.ok(page.includes(text), 'docs/review-access.md shows the same');

  const entry = '      - {dnsName: frontend.example.com, clientId: analytics_frontend}\n$&';
  const withEntry = changed(example, '      - uri: spiffe://example.com/ns/agents/sa/ai-agent\n', entry);
  const certificates = await diff(example, changed(withEntry, / +certificateFor: .*\n/, ''), '--fail-on', 'widened');
  t.equal(certificates.exitCode, 1);
  const lines = certificates.text.replaceAll('\n        ', ' ');
  t.match(lines, /execute_sql\n {6}\+ analytics_frontend of corp-oauth gains it: .*with a certificate of workloads/);
  t.match(lines, /! certificate workloads\/frontend\.example\.com of client analytics_frontend is new/);
  t.match(
    lines,
    /ai_agent_prod of corp-oauth or partner-opaque may do more: before .*, with a certificate of workloads; now with scope dashboards:read \[/,
  );
});

const key = (more: string) =>
  `{id: k1, hash: "${hashOf('k1')}", clientId: reporting_tool, expires: 2027-06-30, networks: [10.0.0.0/8], scopes: [${more}]}`;
const authenticators = (keys: string) =>
  `{corp: {type: jwt, issuer: "https://idp.example.com/", claims: {tenant: org}}, keys: {type: apiKey, keys: [${keys}]}}`;
const sql =
  '{name: sql, allow: {tools: [execute_sql]}, require: {scopes: [queries:execute], when: "has(args.limit) && args.limit <= 1000"}}';
const view = '{allow: {tools: [list_*], claims: {tenant: [acme]}}, require: {scopes: [dashboards:read]}}';
const api = '{name: api, path: /api/*, upstream: superset, authenticate: corp, scopes: [dashboards:read]}';
const routes = (...more: readonly string[]) =>
  `[{name: mcp, path: /mcp, upstream: superset, authenticate: {anyOf: [corp, keys]}, mcp: {rules: [${sql}, ${view}]}}, ${[...more, api].join(', ')}]`;
const base = fileOf({
  authenticators: authenticators(key('dashboards:read')),
  routes: routes(),
  more: 'scopeImplies: {dashboards:write: [dashboards:read]}',
});

const noDifference = [
  ['another name of a rule', changed(base, 'name: sql', 'name: run-sql')],
  ['disjoint rules in another order', changed(base, `${sql}, ${view}`, `${view}, ${sql}`)],
  [
    'a condition in other words',
    changed(base, 'has(args.limit) && args.limit <= 1000', 'args.limit <= 1000 && has(args.limit)'),
  ],
  ['a rule in report mode', changed(base, `[${sql}`, `[{deny: {tools: ["*"]}, mode: report}, ${sql}`)],
  [
    'the has() of an argument left out that the condition reads',
    changed(base, 'has(args.limit) && args.limit <= 1000', 'args.limit <= 1000'),
  ],
  ['a comment', `${base}\n# a comment\n`],
] as const;

for (const [what, next] of noDifference) {
  t.test(`no difference: ${what}`, async (t) => {
    const { text, exitCode } = await diff(base, next, '--fail-on', 'changed');
    t.equal(text, 'No difference in who may call what.\n');
    t.equal(exitCode, 0);
  });
}

const open = '{name: open, path: /api/public/*, upstream: superset, authenticate: none}';
const widenings: readonly (readonly [string, string, RegExp])[] = [
  [
    'a looser bound',
    changed(base, 'limit <= 1000', 'limit <= 5000'),
    /\+ any token of corp .* may do more: before .*<= 1000; now .*<= 5000 \[sql\]/,
  ],
  [
    'a condition that cannot be compared',
    changed(base, 'limit <= 1000', 'limit in [10, 5000]'),
    /! any token of corp .* has another condition: before .*; now .*`limit` in \[10, 5000\]/,
  ],
  [
    'a route without authentication before another',
    changed(base, routes(), routes(open)),
    /\|?GET.* \/api\/public\/\*\n {6}\+ any token of corp .* may do more: before with scope dashboards:read; now yes \[anyone\]\n.*\+ anyone gains it: yes/s,
  ],
  [
    'a further value of a claim',
    changed(base, 'tenant: [acme]', 'tenant: [acme, globex]'),
    /list_\*\n.*may do more: before with scope dashboards:read, with tenant acme; now .*with tenant acme or globex/,
  ],
  [
    'another issuer',
    changed(base, 'https://idp.example.com/', 'https://idp.test/'),
    /! authenticator corp: another issuer/,
  ],
  [
    'another secret under the id of a key',
    changed(base, hashOf('k1'), hashOf('k2')),
    /! key keys\/k1 of client reporting_tool: another secret/,
  ],
  [
    'a scope of a key',
    changed(base, key('dashboards:read'), key('dashboards:read, queries:execute')),
    /\+ key keys\/k1 gains it: from 10\.0\.0\.0\/8, until 2027-06-30, if `limit` <= 1000 \[sql\]/,
  ],
  [
    'an implied scope',
    changed(base, 'dashboards:write: [dashboards:read]', 'dashboards:read: [queries:execute]'),
    /\+ key keys\/k1 gains it/,
  ],
  [
    'a second key',
    changed(
      base,
      key('dashboards:read'),
      `${key('dashboards:read')}, ${key('queries:execute').replace('k1', 'k2').replace(hashOf('k1'), hashOf('k2'))}`,
    ),
    /\+ key keys\/k2 gains it.*~ key keys\/k2 of client reporting_tool is new/s,
  ],
  [
    'another upstream',
    changed(base, 'http://127.0.0.1:5008', 'http://127.0.0.1:5009'),
    /! route mcp: another place that it leads to/,
  ],
];

for (const [what, next, expected] of widenings) {
  t.test(`widened: ${what}`, async (t) => {
    const { text, exitCode } = await diff(base, next, '--fail-on', 'widened');
    t.match(text.replaceAll('\n        ', ' '), expected);
    t.match(text, /\nWidened: /);
    t.equal(exitCode, 1);
  });
}

/** The base with another server, route or section. */
const server = '{listen: "127.0.0.1:8443", publicUrl: https://mcp.example.com';
const withServer = (more: string) => changed(base, server, `${server}, ${more}`);
const withRoute = (more: string) => changed(base, '{name: api,', `{name: api, ${more},`);
const withMcp = (more: string) => changed(base, 'mcp: {rules', `mcp: {${more}, rules`);
const withJwt = (more: string) => changed(base, '{type: jwt,', `{type: jwt, ${more},`);
const hiding: readonly (readonly [string, string, string])[] = [
  ['server.allowedOrigins', withServer('allowedOrigins: [https://evil.example.com]'), 'server: another allowedOrigins'],
  ['server.allowedHosts', withServer('allowedHosts: [evil.example.com]'), 'server: another allowedHosts'],
  ['trustedProxies', withServer('trustedProxies: [10.0.0.0/8]'), 'server: another trustedProxies'],
  ['server.listen', changed(base, '127.0.0.1:8443', '127.0.0.1:8444'), 'server: another listen'],
  ['server.egressProxy', withServer('egressProxy: "http://127.0.0.1:3128"'), 'server: another egressProxy'],
  ['admin.listen', changed(base, '127.0.0.1:9090', '127.0.0.1:9091'), 'admin: another listen'],
  ['websocket', withRoute('websocket: true'), 'route api: another websocket'],
  ['forwardHeaders', withRoute('forwardHeaders: [x-user]'), 'route api: another forwardHeaders'],
  ['senderConstraint', withRoute('senderConstraint: required'), 'route api: another senderConstraint'],
  ['upstreamPath', withRoute('upstreamPath: /admin/*'), 'route api: another place that it leads to'],
  ['certificateFor', withRoute('certificateFor: []'), 'route api: another certificateFor'],
  ['mcp.forwardHeaders', withMcp('forwardHeaders: [x-user]'), 'route mcp: another mcp.forwardHeaders'],
  ['serverRequests', withMcp('serverRequests: []'), 'route mcp: another mcp.serverRequests'],
  ['lists', withMcp('lists: obtainable'), 'route mcp: another mcp.lists'],
  ['replies', withMcp('replies: any'), 'route mcp: another mcp.replies'],
  ['challengeScopes', withMcp('challengeScopes: [a]'), 'route mcp: another mcp.challengeScopes'],
  [
    'metaTools',
    withMcp('metaTools: {call_tool: {name: /name, arguments: /arguments}}'),
    'route mcp: another set of tools that call others',
  ],
  ['clockTolerance', withJwt('clockTolerance: 30s'), 'authenticator corp: another clockTolerance'],
  ['dpop.maxAge', withJwt('dpop: {maxAge: 30s}'), 'authenticator corp: another dpop.maxAge'],
  ['keySet.maxStale', withJwt('keySet: {maxStale: 48h}'), 'authenticator corp: another keySet.maxStale'],
  [
    'an upstream identity header',
    changed(base, /http:..127.0.0.1:5008"?/, '$&, identity: {headers: false}'),
    'route mcp: another identity that the upstream is told',
  ],
  [
    'the upstream is probed no more',
    changed(base, /http:..127.0.0.1:5008"?/, '$&, probe: {path: /mcp}'),
    'route mcp: another upstream.probe',
  ],
  [
    'a key that is not valid yet',
    changed(base, key('dashboards:read'), key('dashboards:read').replace('expires', 'notBefore: 2027-01-01, expires')),
    'key keys/k1 of client reporting_tool: another notBefore',
  ],
  [
    'a route before another one that it overlaps',
    changed(
      base,
      api,
      `{name: sub, path: /api/sub/*, upstream: superset, authenticate: corp, scopes: [dashboards:read]}, ${api}`,
    ),
    'route sub is new',
  ],
];

for (const [what, next, expected] of hiding) {
  t.test(`beside the rules, both ways: ${what}`, async (t) => {
    for (const [before, after] of [
      [base, next],
      [next, base],
    ] as const) {
      const { text, exitCode } = await diff(before, after, '--fail-on', 'widened');
      const words = before === base ? expected : expected.replace(/ is new$/, ' is gone');
      t.match(text.replaceAll('\n    ', ' '), `! ${words}`);
      t.match(text, /\nWidened: /);
      t.equal(exitCode, 1);
    }
  });
}

t.test('routes that overlap, in another order', async (t) => {
  const sub = '{name: sub, path: /api/sub/*, upstream: superset, authenticate: corp, scopes: [dashboards:read]}';
  const [one, other] = [`${sub}, ${api}`, `${api}, ${sub}`].map((both) => changed(base, api, both));
  const { text } = await diff(one!, other!, '--fail-on', 'widened');
  t.match(text, /! route api: another place before or behind other routes/);
});

t.test('scopes that no rule demands, which conditions may read and the upstream is told', async (t) => {
  const most = (scopes: string) => withJwt(`maxScopes: [dashboards:read, queries:execute${scopes}]`);
  const cases: readonly (readonly [string, string, string])[] = [
    [most(''), most(', admin'), 'authenticator corp'],
    [most(''), base, 'authenticator corp'],
    [base, changed(base, key('dashboards:read'), key('dashboards:read, admin')), 'key keys/k1'],
    [
      base,
      changed(base, 'dashboards:write: [dashboards:read]', 'dashboards:write: [dashboards:read, admin]'),
      'scopeImplies of dashboards:write',
    ],
  ];
  for (const [less, more, words] of cases) {
    const wider = await diff(less, more, '--fail-on', 'widened');
    t.match(wider, { exitCode: 1, text: `! ${words}: more scopes` });
    const narrower = await diff(more, less, '--fail-on', 'widened');
    t.match(narrower, { exitCode: 0, text: `~ ${words}: fewer scopes` });
  }
});

t.test('tls, and an optional certificate', async (t) => {
  writeFiles(folder, await exampleFiles());
  const example = readFileSync(join(root, 'gateway.example.yaml'), 'utf8');
  const tls = changed(
    changed(example, 'minVersion: TLSv1.2', 'minVersion: TLSv1.3'),
    'clientCertificates: optional',
    'clientCertificates: required',
  );
  const next = changed(
    changed(tls, 'ciphers: modern', 'ciphers: ECDHE-RSA-AES128-GCM-SHA256'),
    /^ {4}authenticate: corp-oauth$/m,
    '    authenticate: {anyOf: [corp-oauth], optional: [workloads]}',
  );
  const { text, exitCode } = await diff(next, example, '--fail-on', 'widened');
  t.match(text, '! server: another tls.clientCertificates, tls.ciphers, tls.minVersion\n');
  t.match(text, '! route dashboards: another authenticate.optional\n');
  t.equal(exitCode, 1);
});

t.test('what cannot give access is no difference', async (t) => {
  const next = changed(
    changed(
      withServer('drainTimeout: 5s, limits: {connections: 5}'),
      'mcp: {rules',
      'mcp: {audit: {arguments: none}, denials: http, rules',
    ),
    /http:..127.0.0.1:5008"?/,
    '$&, timeouts: {idle: 5m}, limits: {concurrency: 3}',
  );
  const { text, exitCode } = await diff(base, next, '--fail-on', 'changed');
  t.equal(text, 'No difference in who may call what.\n');
  t.equal(exitCode, 0);
});

t.test('a credential that is revoked no more', async (t) => {
  const withList = (name: string) => `${base}\nrevocation: {file: ${name}}\n`;
  writeFiles(folder, { 'more.yaml': 'jti: [a, b]\nissuedBefore: 2026-01-01\n', 'less.yaml': 'jti: [a]\n' });
  const less = await diff(withList('more.yaml'), withList('less.yaml'), '--fail-on', 'widened');
  t.match(less, { exitCode: 1, text: /! revocation: what was revoked is revoked no more/ });
  const more = await diff(withList('less.yaml'), withList('more.yaml'), '--fail-on', 'widened');
  t.match(more, { exitCode: 0, text: /~ revocation: more is revoked/ });
  t.equal((await diff(withList('more.yaml'), base, '--fail-on', 'widened')).exitCode, 1);
});

const narrowings = [
  [
    'a deny before a rule',
    changed(base, `[${sql}`, `[{deny: {tools: [exec*]}}, ${sql}`),
    /- any token of corp .*loses it: before with scope queries:execute/,
  ],
  ['an earlier end of a key', changed(base, '2027-06-30', '2027-01-01'), undefined],
  ['fewer networks of a key', changed(base, 'networks: [10.0.0.0/8]', 'networks: [10.1.0.0/16]'), undefined],
  ['a route left out', changed(base, `, ${api}`, ''), /GET\|.* \/api\/\*\n.*loses it.*~ route api is gone/s],
] as const;

for (const [what, next, expected] of narrowings) {
  t.test(`narrowed: ${what}`, async (t) => {
    // The key has a tool of its own.
    const all = (yaml: string) =>
      changed(yaml, view, `${view}, {allow: {tools: [ping], clients: [keys/reporting_tool]}}`);
    const { text, exitCode } = await diff(all(base), all(next), '--fail-on', 'widened');
    t.match(
      text.replaceAll('\n        ', ' '),
      expected ?? /ping\n {6}- key keys\/k1 may do less: before from 10\.0\.0\.0\/8, until 2027-06-30; now from/,
    );
    t.match(text, /\nNot widened: /);
    t.equal(exitCode, 0);
    t.equal((await diff(all(base), all(next), '--fail-on', 'changed')).exitCode, 1);
  });
}

const denying = (condition: string) =>
  changed(base, `[${sql}`, `[{deny: {tools: [ping], when: "${condition}"}}, {allow: {tools: [ping]}}, ${sql}`);

t.test('a denial of has(args.a) && args.a > 10 that loses its has(): nobody gains', async (t) => {
  const [guarded, bare] = [denying('has(args.a) && args.a > 10'), denying('args.a > 10')];
  const narrower = await diff(guarded, bare, '--fail-on', 'widened');
  t.equal(narrower.exitCode, 0);
  t.match(
    narrower.text.replaceAll('\n        ', ' '),
    /- .* may do less: before unless `has\(args\.a\) && args\.a > 10`, .*; now unless `args\.a > 10`, if `args\.a > 10` can be judged/,
  );
  t.notMatch(narrower.text, /^ *[+!]/m);
  const [cell] = JSON.parse((await diff(guarded, bare, '--json')).text).access;
  t.not(cell.before, cell.after);
  t.equal((await diff(bare, guarded, '--fail-on', 'widened')).exitCode, 1);
});

t.test('two conditions that no message may repeat have not the same words', async (t) => {
  const hidden = (name: string) => denying(`args.a > \${file:${name}}`);
  writeFiles(folder, { one: '10', other: '20' });
  const { text } = await diff(hidden('one'), hidden('other'), '--fail-on', 'widened');
  const [, before, after] = /before (.*?); now (.*?) \[/s.exec(text.replaceAll('\n        ', ' ')) ?? [];
  t.ok(before !== undefined && after !== undefined && before !== after, text);
});

t.test('the forms for programs and pull requests', async (t) => {
  const next = changed(base, 'limit <= 1000', 'limit <= 5000');
  const json = JSON.parse((await diff(base, next, '--json')).text);
  t.match(json, { widened: true, changed: true, configuration: [] });
  t.match(json.access[0], { route: 'mcp', kind: 'tool', item: 'execute_sql', change: 'wider', rulesAfter: 'sql' });
  const markdown = (await diff(base, next, '--format', 'markdown')).text;
  t.match(markdown, /^\| route \| item \| caller \| change .*\n.*\n.*execute.*\n(?:.*\n)*\nWidened: /);
  t.match((await diff(base, next, '--format', 'csv')).text, /^route,path,kind,item,caller,change,before,after,/);
  const beside = await diff(base, changed(base, '127.0.0.1:9090', '127.0.0.1:9091'), '--format', 'csv');
  t.match(beside.text, /\r\n,,configuration,admin: another listen,,widened,/);
  t.equal((await diff(base, base, '--format', 'markdown')).text, 'No difference in who may call what.\n');
});

t.test('limits: raised, lowered, dropped, of other buckets, and rules that may take their calls', async (t) => {
  const limits = 'limits: {sql: {rate: 30/m, burst: 10, per: [client, subject]}, all: {quota: 500/d}}';
  const rules = '{name: sql, allow: {tools: [execute_sql]}, limits: [sql]}, {allow: {tools: ["list_*"]}}';
  const file = fileOf({
    routes: `[{path: /mcp, upstream: superset, authenticate: corp, limits: [all], mcp: {rules: [${rules}]}}]`,
    more: limits,
  });
  const cases = [
    [
      'rate: 30/m',
      'rate: 60/m',
      '! limit sql: 60 in a minute, 10 at once, for each client and subject; before 30 in a minute, 10 at once, for each client and subject',
    ],
    [
      'rate: 30/m',
      'rate: 20/m',
      '~ limit sql: 20 in a minute, 10 at once, for each client and subject; before 30 in a minute, 10 at once, for each client and subject',
    ],
    [
      'per: [client, subject]',
      'per: [subject]',
      '! limit sql: 30 in a minute, 10 at once, for each subject; before 30 in a minute, 10 at once, for each client and subject',
    ],
    ['quota: 500/d', 'rate: 500/d', '! limit all: 500 in a day; before 500 in each day of UTC'],
    ['quota: 500/d', 'quota: 400/d', '~ limit all: 400 in each day of UTC; before 500 in each day of UTC'],
    ['limits: [all], ', '', '! route /mcp: no longer under the limit all'],
    [', limits: [sql]}', '}', '! route /mcp, rule sql: no longer under the limit sql'],
    [
      '{allow: {tools: ["list_*"]}}',
      '{allow: {tools: ["list_*"]}, limits: [all]}',
      '~ route /mcp, rule rules[1]: under the limit all, 500 in each day of UTC',
    ],
    [
      '{name: sql, ',
      '{allow: {tools: [execute_sql]}}, {name: sql, ',
      '! route /mcp: other rules, so that calls may have left the limits of their rule',
    ],
  ] as const;
  for (const [from, to, line] of cases) {
    const { exitCode, text } = await diff(file, changed(file, from, to), '--fail-on', 'widened');
    t.ok(text.replaceAll(/\n {4}/g, ' ').includes(`  ${line}\n`), `${line} in ${text}`);
    t.equal(exitCode, line.startsWith('!') ? 1 : 0, line);
  }
  t.match((await diff(file, file)).text, /^No difference/);
  t.match(
    (await diff(file, changed(file, 'name: sql', 'name: other'))).text,
    /^No difference/,
    'another name of a rule',
  );
});
