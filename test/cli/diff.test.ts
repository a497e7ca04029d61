// `portcullis diff`: the meaning of changes, its formats and its exit codes.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { diffCommand } from '../../src/cli/policy/diff.ts';
import { exampleFiles } from '../config/example-files.ts';
import { fileOf, now, writeFiles } from '../config/support.ts';
import { hashOf } from '../support/configuration.ts';
import { capture } from './capture.ts';

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

t.test('the forms for programs and pull requests', async (t) => {
  const next = changed(base, 'limit <= 1000', 'limit <= 5000');
  const json = JSON.parse((await diff(base, next, '--json')).text);
  t.match(json, { widened: true, changed: true, configuration: [] });
  t.match(json.access[0], { route: 'mcp', kind: 'tool', item: 'execute_sql', change: 'wider', rulesAfter: 'sql' });
  const markdown = (await diff(base, next, '--format', 'markdown')).text;
  t.match(markdown, /^\| route \| item \| caller \| change .*\n.*\n.*execute.*\n(?:.*\n)*\nWidened: /);
  t.match((await diff(base, next, '--format', 'csv')).text, /^route,path,kind,item,caller,change,before,after,/);
  t.equal((await diff(base, base, '--format', 'markdown')).text, 'No difference in who may call what.\n');
});
