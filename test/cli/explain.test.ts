// `portcullis explain`: output, exit codes and misuse. No secret is repeated.
import { join } from 'node:path';
import { Readable } from 'node:stream';
import t, { type Test } from 'tap';
import { explainCommand } from '../../src/cli/policy/explain.ts';
import { hashOf } from '../support/configuration.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { capture } from './capture.ts';

const issuer = await createFakeIssuer();
t.teardown(issuer.close);
const key = `sk_${'k'.repeat(43)}`;
const yaml = `
version: 1
server: {listen: "127.0.0.1:0", publicUrl: "https://mcp.example.com"}
authenticators:
  corp: {type: jwt, issuer: "${issuer.issuer}", claims: {tenant: org_id}, maxScopes: [dashboards:read]}
  keys: {type: apiKey, keys: [{id: k1, hash: "${hashOf(key)}", clientId: reporting_tool, scopes: [dashboards:read], expires: 2099-01-01, networks: [10.0.0.0/8]}]}
limits: {all: {quota: 500/d}, lists: {rate: 30/m, burst: 10, per: [client, tool, tenant]}}
upstreams: {superset: {url: "http://127.0.0.1:1", authorization: "Bearer \${env:UPSTREAM}"}}
routes:
  - {name: health, path: /health, authenticate: none, respond: {status: 200, json: {status: healthy}}}
  - {name: dashboards, path: /api/dashboards/*, methods: [GET], upstream: superset, authenticate: corp, scopes: [dashboards:read]}
  - name: superset-mcp
    path: /mcp
    upstream: superset
    authenticate: {anyOf: [corp, keys]}
    mcp:
      rules:
        - {name: hidden, deny: {tools: ["\${env:HIDDEN}"], when: "args.sql == '\${env:HIDDEN}'"}}
        - {name: sql, allow: {tools: [execute_sql]}, require: {scopes: [queries:execute]}}
        - {name: list, limits: [lists, all], allow: {tools: [list_dashboards], when: "!has(args.page) || args.page > 0"}, require: {scopes: [dashboards:read]}}
audit: {sinks: [{type: stdout}]}
`;
const latin1 = Buffer.from('{"a":"\u00e9"}', 'latin1') as unknown as string;
const env = { UPSTREAM: 'upstream-secret', HIDDEN: 'hidden-secret' };
const now = Date.parse('2026-11-28T12:00:00Z');

async function run(t: Test, args: readonly string[], stdin = '', isTTY = false) {
  const output = capture();
  const file = join(
    t.testdir({ 'gateway.yaml': yaml, 'key.txt': `${key}\n`, 'not.pem': 'nothing', 'latin1.json': latin1 }),
    'gateway.yaml',
  );
  const named = args.map((arg) => arg.replace('FOLDER', join(file, '..')));
  const stdout = Object.assign(output.stdout, { isTTY });
  const context = { output: { ...output, stdout }, env, now: () => now, stdin: Readable.from([Buffer.from(stdin)]) };
  await explainCommand(context)
    .exitOverride()
    .parseAsync(['-c', file, ...named], { from: 'user' });
  const text = output.text();
  for (const secret of [key, ...Object.values(env)]) t.notOk((text + output.errors()).includes(secret), 'no secret');
  return { text, errors: output.errors(), exitCode: context.output.exitCode };
}

const json = async (t: Test, args: readonly string[], stdin = '') =>
  JSON.parse((await run(t, [...args, '--json'], stdin)).text);

const frontend = ['--as', '{client: analytics_frontend, scopes: [dashboards:read]}'];

t.test('a denied call: each rule, the missing scope, the answer, and 1', async (t) => {
  const { exitCode, text } = await run(t, [...frontend, '--tool', 'execute_sql']);
  t.equal(exitCode, 1);
  t.match(text, /- health {2}\/health {2}another path\n/);
  t.match(
    text,
    /- hidden {2}deny {2}no match: tools the interpolated value; the call has method tools\/call, tool execute_sql\n/,
  );
  t.match(
    text,
    /✗ sql {2}allow {2}governs\n {6}✓ tools execute_sql; .*\n {6}✗ requires scopes queries:execute \(missing\)\n/,
  );
  t.match(
    text,
    /- 1 rule behind it not reached\n {2}insufficient_scope by rule sql: scopes is not met, missing queries:execute\n/,
  );
  t.match(text, /Upstream\n {2}- gets nothing\n/);
  t.match(text, /HTTP 403 {2}insufficient_scope\n/);
  t.match(text, /www-authenticate: Bearer error="insufficient_scope", scope="queries:execute"/);
  t.notMatch(text, '\u001b', 'no colours where the output is no terminal');
  t.match((await run(t, [...frontend, '--tool', 'execute_sql'], '', true)).text, '\u001b[');
});

t.test('an allowed request: the upstream and its headers without the fixed credential, and 0', async (t) => {
  const { exitCode, text } = await run(t, [...frontend, 'GET', '/api/dashboards/7?page=2']);
  t.equal(exitCode, 0);
  t.match(text, /superset gets GET http:\/\/127.0.0.1:1\/api\/dashboards\/7\n/);
  t.match(text, /authorization: \(the fixed value of `authorization`, not shown\)\n/);
  t.match(text, /x-forwarded-client-id: analytics_frontend\n/);
  t.match(await run(t, ['GET', '/health']), { exitCode: 0, text: /HTTP 200\n(.*\n)* +\{"status":"healthy"\}\n/ });
  t.match(await run(t, ['GET', '/nowhere']), { exitCode: 1, text: /✗ no route: not_found\n(.*\n)*.*HTTP 404/ });
});

t.test('a token is verified with the keys of its issuer, and a scope beyond maxScopes is capped', async (t) => {
  const claims = {
    aud: 'https://mcp.example.com/mcp',
    scope: 'queries:execute',
    iat: now / 1000,
    exp: now / 1000 + 60,
  };
  const token = await issuer.token(claims);
  const explanation = await json(t, ['--token', '-', '--tool', 'execute_sql'], `${token}\n`);
  t.match(explanation, {
    allowed: false,
    code: 'insufficient_scope',
    credentials: [{ kind: 'access token', state: 'verified', authenticator: 'corp' }],
  });
  t.match(explanation.decision.parts[0].rules[1].demands, [
    { demand: 'scopes', scopes: [{ scope: 'queries:execute', state: 'capped' }] },
  ]);
  t.notOk(JSON.stringify(explanation).includes(token), 'the token is not repeated');
  const forged = `${token.slice(0, token.lastIndexOf('.'))}.${'A'.repeat(86)}`;
  const refused = await json(t, ['--token', forged, '--tool', 'execute_sql']);
  t.match(refused, { code: 'invalid_token', credentials: [{ state: 'refused', reason: 'signature' }] });
  const offline = await run(t, ['--token', forged, '--offline', '--tool', 'list_dashboards']);
  t.match(
    offline.text,
    /access token of corp .*: decoded\n +decoded only: its signature was NOT verified \(--offline\)/,
  );
  t.match(offline.text, /note {2}The signature of the token was not verified/);
});

t.test('a key from a file is never repeated, and says from where it may be used', async (t) => {
  const options = ['--key', '@FOLDER/key.txt', '--tool', 'list_dashboards'];
  t.match(await json(t, options), {
    credentials: [
      { id: 'k1', reason: 'network', why: 'it may be used from 10.0.0.0/8, and the request comes from 127.0.0.1' },
    ],
    answer: { status: 401 },
  });
  t.match(await json(t, [...options, '--from', '10.1.1.1']), { allowed: true, caller: { clientId: 'reporting_tool' } });
  t.match(await json(t, [...options, '--from', '10.1.1.1', '--at', '2099-01-01']), {
    credentials: [{ reason: 'expired' }],
  });
});

t.test('a whole message is read as the gateway reads it', async (t) => {
  const message =
    '{"jsonrpc":"2.0","id":"q7","method":"tools/call","params":{"name":"list_dashboards","arguments":{"page":0}}}';
  const explanation = await json(t, [...frontend, '--mcp', '-'], message);
  t.match(explanation.decision.parts[0].rules[2], { rule: 'list', when: { result: false } });
  t.match(explanation.answer.body, '"id":"q7"');
  t.match(await json(t, [...frontend, '--mcp', '{"jsonrpc":"2.0","id":1,"id":2}']), { answer: { status: 400 } });
});

t.test('--args {"page":1,"page":1} and {"page":-0} are refused as they are live', async (t) => {
  const call = [...frontend, '--tool', 'list_dashboards', '--args'];
  t.match(await json(t, [...call, '{"page":1}']), { allowed: true });
  t.match(await run(t, [...call, '{"page":1,"page":1}']), { exitCode: 1, text: /invalid_jsonrpc/ });
  for (const args of ['{"page":-0}', '{"page":1.0000000000000000001}'])
    t.match(await run(t, [...call, '-'], args), { exitCode: 1, text: /condition_error/ }, args);
});

t.test('misuse says what to do, and ends with 2', async (t) => {
  const rows: [string[], RegExp][] = [
    [[], /call: needs one of: tool, mcp, or method and path/],
    [['GET'], /give METHOD and PATH/],
    [['--tool', 'a', 'GET', '/x'], /needs one of/],
    [[...frontend, '--token', 'x', '--tool', 'a'], /--as makes up a caller/],
    [['--token', '-', '--mcp', '-'], /only one option can read stdin/],
    [['--tool', 'a', '--args', '{'], /--args: /],
    [['--tool', 'a', '--args', '{}}'], /--args: Unexpected/],
    [['--tool', 'a', '--args', '@FOLDER/latin1.json'], /--args: .*not valid.* utf-8/],
    [['--tool', 'a', '--args', '@FOLDER/none.json'], /--args: cannot read .*none.json: there is no such file/],
    [['--tool', 'a', '--cert', 'FOLDER/not.pem'], /--cert: .*not.pem/],
    [['--tool', 'a', '--from', 'nowhere'], /--from: expected an IP address/],
    [['--tool', 'a', '--route', 'superset'], /unknown route "superset"/],
    [['--tool', 'a', '--as', '{clinet: a}'], /--as/],
    [['--tool', 'a', '--via', 'b'], /unknown meta-tool "b"/],
    [['--tool', 'a', '--offline'], /--offline goes with --token/],
  ];
  for (const [args, expected] of rows)
    t.match(await run(t, args), { exitCode: 2, text: '', errors: expected }, args.join(' '));
});

const recorded = (more: object) => ({
  seq: 1,
  id: 'r-1',
  time: '2026-11-28T11:00:00.000Z',
  stage: 'decided',
  route: 'superset-mcp',
  client: { address: '127.0.0.1' },
  principal: { kind: 'oauth', issuer: issuer.issuer, subject: 'a', clientId: 'analytics_frontend', credentialId: 'j' },
  credentials: [{ kind: 'access-token', authenticator: 'corp', id: 'j' }],
  http: { method: 'POST', path: '/mcp' },
  scopes: { granted: ['dashboards:read'], required: [], missing: [] },
  decision: 'allow',
  rule: 'earlier',
  policy: 'another',
  ...more,
});
const log = (more: object) => `${JSON.stringify(recorded(more))}\n`;

t.test('a recorded request is explained as far as its record tells, beside what was decided then', async (t) => {
  const sql = log({ mcp: { method: 'tools/call', tool: 'execute_sql', arguments: `sha256:${'a'.repeat(64)}` } });
  const { exitCode, text } = await run(t, ['--id', 'r-1', '-'], sql);
  t.equal(exitCode, 1);
  t.match(text, /✗ requires scopes queries:execute \(missing\)/);
  t.match(
    text,
    /then {2}allow, by rule earlier\n {2}now {3}deny, by rule sql, insufficient_scope\n {2}another configuration/,
  );
  const unknown = log({
    mcp: { method: 'tools/call', tool: 'list_dashboards', arguments: `sha256:${'a'.repeat(64)}` },
  });
  const untold = await run(t, ['--id', 'r-1', '-'], unknown);
  t.match(untold, { exitCode: 1, text: /now {3}cannot be told: it depends on arguments\n/ });
  t.match(untold.text, /not in the record: arguments; a test above that reads this/);
  const known = log({ mcp: { method: 'tools/call', tool: 'list_dashboards', arguments: { page: 2 } } });
  const told = JSON.parse((await run(t, ['--id', 'r-1', '-', '--json'], known)).text);
  t.match(told, { now: { kind: 'allow', rule: 'list' }, unknown: [], isSamePolicy: false });
  t.match(told.decision.parts[0].rules[2], { rule: 'list', outcome: 'governs', when: { result: true } });
  const same = log({ policy: told.policy });
  t.match((await run(t, ['--id', 'r-1', '-'], same)).text, 'the configuration is that of the record\n');
  t.match(await run(t, ['--id', 'r-2', '-'], known), { exitCode: 1, errors: 'no record of r-2 in these files\n' });
  t.match(await run(t, ['--id', 'r-1']), { exitCode: 2, errors: /--id needs the audit files/ });
  t.match(await run(t, ['--id', 'r-1', '--tool', 'a', '-']), { exitCode: 2, errors: /does not go with --tool/ });
  t.match(await run(t, ['--id', 'r-1', 'FOLDER/none.jsonl']), { exitCode: 2, errors: /no such file/ });
});

t.test(
  'an allowed call names its limits, and the values that have a bucket; what is used only a running gateway knows',
  async (t) => {
    const list = ['--tool', 'list_dashboards'];
    const { exitCode, text } = await run(t, [...frontend, ...list]);
    t.equal(exitCode, 0);
    const bucket = `client client ${issuer.issuer} analytics_frontend, tool list_dashboards, tenant \\(none\\)`;
    t.match(
      text,
      new RegExp(
        `\nLimits\n  lists: 30 in a minute, 10 at once, for ${bucket}\n  all: 500 in each day of UTC, all calls together\n`,
      ),
    );
    t.match((await json(t, [...frontend, ...list])).limits, [
      { name: 'lists', size: '30 in a minute, 10 at once', bucket: { tool: 'list_dashboards' } },
      { name: 'all', size: '500 in each day of UTC', bucket: {} },
    ]);
    t.same((await json(t, [...frontend, '--tool', 'execute_sql'])).limits, [], 'a denied one takes nothing');
  },
);
