// `portcullis test`: results, exit codes, problems with their places, coverage, and the formats of the report.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { testCommand } from '../../src/cli/policy/test-policy.ts';
import { exampleFiles, supersetFiles, withoutRequire } from '../config/example-files.ts';
import { fileOf, lineAt, now, writeFiles } from '../config/support.ts';
import { capture } from './capture.ts';

const root = join(import.meta.dirname, '../..');
const policy = fileOf({
  authenticators:
    '{corp: {type: jwt, issuer: https://idp.example.com/}, keys: {type: apiKey, keys: [{id: k1, hash: "sha256:2c69326f7bdaac4b631093e12593070720c94afefb7cf3b102221a482f15bffb", clientId: reporting_tool, scopes: [], expires: 2027-01-01}]}}',
  routes: [
    '[{name: mcp, path: /mcp, upstream: superset, authenticate: {anyOf: [corp, keys]}, mcp: {rules:',
    '[{name: views, allow: {tools: ["list_*"]}, require: {scopes: [dashboards:read]}}, {name: never, deny: {tools: [drop]}}]}}]',
  ].join(' '),
});
const passing = `
  - name: the frontend lists dashboards
    as: {client: analytics_frontend, scopes: [dashboards:read]}
    call: {tool: list_dashboards}
    expect: {allow: views}`;
const failing = `
  - name: <"the frontend" & its 'token'> # 1
    as: {client: analytics_frontend, scopes: []}
    call: {tool: list_dashboards}
    expect: {allow: views}`;

const folder = t.testdir({ 'gateway.yaml': policy });

async function run(cases: string, ...options: string[]) {
  const file = join(folder, 'cases.yaml');
  writeFileSync(file, cases);
  return runOn(file, ...options);
}

async function runOn(...argv: string[]) {
  const output = capture();
  await testCommand(output, {}, () => now).parseAsync(argv, { from: 'user' });
  return {
    code: output.exitCode,
    out: output.text().replaceAll(`${folder}/`, ''),
    errors: output.errors().replaceAll(`${folder}/`, ''),
  };
}

t.test('the cases of gateway.example.yaml and of deploy/superset pass, and reach every rule', async (t) => {
  const run = async (t: Test, from: string, name: string, files: Readonly<Record<string, string>>) => {
    const copy = t.testdir();
    const names = [`${name}.yaml`, `${name}.cases.yaml`];
    const texts = names.map((file) => [file, readFileSync(join(root, from, file), 'utf8')]);
    writeFiles(copy, { ...files, ...Object.fromEntries(texts) });
    const { code, out, errors } = await runOn(join(copy, `${name}.cases.yaml`), '--full-coverage');
    t.equal(code, 0, out + errors);
    t.match(out, /\n\d\d cases: \d\d passed, 0 failed\n\d\d rules: \d\d reached by cases, 0 not\n/);
  };
  await t.test('example', async (t) => run(t, '.', 'gateway.example', await exampleFiles()));
  await t.test('superset', async (t) => run(t, 'deploy/superset', 'gateway', await supersetFiles()));
});

t.test('the cases of docs/change-a-policy.md pass, and fail as it says', async (t) => {
  const page = readFileSync(join(root, 'docs/change-a-policy.md'), 'utf8');
  const copy = t.testdir();
  const [, cases] = /```yaml\n(policy: [\s\S]*?)```/.exec(page)!;
  const [, shown] = /```text\n(cases.yaml\n[\s\S]*?)```/.exec(page)!;
  const example = readFileSync(join(root, 'gateway.example.yaml'), 'utf8');
  const open = withoutRequire(example);
  t.not(open, example);
  writeFiles(copy, {
    ...(await exampleFiles()),
    'gateway.example.yaml': example,
    'next.yaml': open,
    'cases.yaml': cases!,
  });
  t.match(await runOn(join(copy, 'cases.yaml')), { code: 0, out: '3 cases: 3 passed, 0 failed' });
  const { out, code } = await runOn(join(copy, 'cases.yaml'), '-c', join(copy, 'next.yaml'));
  t.equal(out.replaceAll(`${copy}/`, ''), shown);
  t.equal(code, 1);
});

t.test(
  'a case that fails says what was expected, what happened, by which rule and why, and exits with 1',
  async (t) => {
    const { code, out } = await run(`policy: gateway.yaml\ncases:${passing}${failing}\n`);
    t.equal(code, 1);
    t.equal(
      out,
      [
        'cases.yaml',
        '  ok    the frontend lists dashboards',
        `  FAIL  <"the frontend" & its 'token'>`,
        '        cases.yaml:7:5',
        '        the decision is deny, not allow',
        '        got: deny insufficient_scope, by rule views, unmet scopes, missing dashboards:read',
        '        told: This call needs the scope dashboards:read. Ask for a token with this scope and call again; a key gets its scopes from the operator of this gateway.',
        '2 cases: 1 passed, 1 failed',
        '',
      ].join('\n'),
    );
    t.equal((await run(`policy: gateway.yaml\ncases:${passing}\n`)).code, 0);
  },
);

t.test(
  'args -0, 1.0000000000000000001 and 9007199254740993 are problems in YAML, and taken as they are in a text',
  async (t) => {
    const one = (args: string, expected = 'allow') =>
      `policy: gateway.yaml\ncases:\n  - {name: a, as: {client: f, scopes: [dashboards:read]}, call: {tool: list_x, args: ${args}}, expect: ${expected}}\n`;
    for (const number of ['-0', '-0.0', '1.0000000000000000001', '9007199254740993', '1e-400', '0x20000000000001']) {
      const { code, errors } = await run(one(`{n: [${number}]}`));
      t.match(
        [code, errors],
        [2, /^cases.yaml:3:\d+ cases\[0\].call.args.n\[0\]: JSON readers take this number/],
        number,
      );
    }
    for (const number of ['0', '-1', '+1', '.5', '1.', '1.e3', '0.0', '1.50', '1e3', '0x1F', '9007199254740991'])
      t.equal((await run(one(`{n: ${number}}`))).code, 0, number);
    for (const text of [`'{"n":-0}'`, `'{"n":9007199254740993}'`, `'{"__proto__":1}'`])
      t.equal((await run(one(text))).code, 0, text);
    t.equal((await run(one(`'{"n":1,"n":1}'`, '{deny: invalid_jsonrpc}'))).code, 0);
    t.match(await run(one('n')), { code: 2, errors: /call.args: is text, but no JSON/ });
  },
);

t.test('every member of expect is compared', async (t) => {
  const asked = 'as: {client: f}, call: {tool: list_x}';
  const cases: [expect: string, difference: RegExp | undefined, request?: string][] = [
    ['deny', undefined],
    ['allow', /the decision is deny, not allow/],
    [
      '{deny: true, rule: views, reason: insufficient_scope, unmet: scopes, missing: [dashboards:read], answer: 403}',
      undefined,
    ],
    ['{deny: denied}', /the code is insufficient_scope, not denied/],
    [
      '{deny: true, rule: view}',
      /the rule is views, not view, which the route does not have \(did you mean "views"\?\)/,
    ],
    ['{deny: true, reason: no_rule}', /the reason is insufficient_scope, not no_rule/],
    ['{deny: true, unmet: when}', /the unmet demand is scopes, not when/],
    ['{deny: true, missing: [queries:read]}', /the missing scopes is dashboards:read, not queries:read/],
    ['{deny: true, answer: 200}', /the status is 403, not 200/],
    ['{deny: true, message: ask your mother}', /and has no "ask your mother"/],
    ['{deny: true, message: dashboards:read}', undefined],
    ['{deny: denied, reason: no_rule}', undefined, 'as: {client: f}, call: {tool: x}'],
    ['{deny: denied, rule: never, answer: 200}', undefined, 'as: {client: f}, call: {tool: drop}'],
    ['{deny: invalid_api_key, reason: expired}', undefined, 'as: {key: k1}, at: 2027-01-01, call: {tool: drop}'],
    ['{allow: open}', undefined, 'as: {client: f}, call: {mcp: {method: ping}}'],
    ['{allow: true, rule: never}', /the rule is open, not never/, 'as: {client: f}, call: {mcp: {method: ping}}'],
    ['{allow: open, answer: 200}', /the upstream gives the status/, 'as: {client: f}, call: {mcp: {method: ping}}'],
    ['deny', /the decision is allow, not deny/, 'as: {client: f}, call: {mcp: {method: ping}}'],
  ];
  const lines = cases.map(
    ([expected, , request = asked], index) => `  - {name: c${index}, ${request}, expect: ${expected}}`,
  );
  const { out } = await run(`policy: gateway.yaml\ncases:\n${lines.join('\n')}\n`, '--json');
  const report = JSON.parse(out);
  for (const [index, [expected, difference]] of cases.entries()) {
    const { differences, ok } = report.cases[index];
    t.equal(ok, difference === undefined, `${expected}: ${differences}`);
    if (difference !== undefined) t.match(differences.join('; '), difference);
  }
  t.match(report, { ok: false, passed: 7, failed: 11 });
});

t.test('all problems of the files are reported at once, with their places, and exit with 2', async (t) => {
  const cases = `policy: gateway.yaml
cases:
  - {name: a, as: {clint: f}, call: {tool: x}, expect: allow}
  - {name: b, as: {key: k2}, call: {route: mpc, tool: x}, expect: deny}
  - {name: b, call: {tool: x}, expect: {deny: insuficient_scope}}
  - {name: b, call: {tool: x}, expect: {allow: views, unmet: when, rule: views}}
  - {name: b, call: {tool: x}, expect: deny}
  - {name: d, call: {tool: x}, expect: {}}
  - {name: e, cal: {tool: x}, expect: perhaps}
`;
  const at = (mark: string, rest: string) => lineAt(cases, mark, rest, 'cases.yaml');
  const { code, errors, out } = await run(cases);
  t.equal(code, 2);
  t.equal(out, '');
  t.same(errors.trimEnd().split('\n'), [
    at('{‸clint: f}', 'cases[0].as.clint: unknown key "clint" (did you mean "client"?)'),
    at('as: {key: ‸k2}', 'cases[1].as.key: unknown key "k2" (did you mean "k1"?); there are k1'),
    at('route: ‸mpc', 'cases[1].call.route: unknown route "mpc" (did you mean "mcp"?); MCP routes are mcp'),
    at(
      'deny: ‸insuficient',
      'cases[2].expect.deny: expected the code of a denial or refusal (did you mean "insufficient_scope"?)',
    ),
    at('unmet: ‸when', 'cases[3].expect.unmet: goes with deny only'),
    at('rule: ‸views}', 'cases[3].expect.rule: is said by allow already'),
    at('name: ‸b, call: {tool: x}, expect: deny}', 'cases[4].name: cases[1] has this name too'),
    at('expect: ‸{}}', 'cases[5].expect: needs one of: allow, deny'),
    at('{name: e, ‸cal', 'cases[6].cal: unknown key "cal" (did you mean "call"?)'),
    at('expect: ‸perhaps', 'cases[6].expect: expected one of "allow", "deny"'),
  ]);
  t.match(await run('cases: []\n'), { code: 2, errors: /^cases.yaml:1:8 cases: expected at least 1 item\n$/ });
  t.match(await run(`cases:${passing}\n`), { code: 2, errors: /names no policy: add `policy:`/ });
  t.match(await run('cases: [\n'), { code: 2, errors: /^cases.yaml:2:1 not valid YAML/ });
  t.match(await runOn(join(folder, 'none.yaml')), {
    code: 2,
    errors: /none.yaml:1:1 cannot read the file: there is no such file/,
  });
});

t.test('-c wins over the policy that the file names', async (t) => {
  const { code } = await run(`policy: other.yaml\ncases:${passing}\n`, '-c', join(folder, 'gateway.yaml'));
  t.equal(code, 0);
  await t.rejects(run(`policy: other.yaml\ncases:${passing}\n`), /other.yaml:1:1 cannot read the file/);
});

t.test('coverage names the rules that no case reaches', async (t) => {
  const cases = `policy: gateway.yaml\ncases:${passing}\n`;
  const { code, out } = await run(cases, '--coverage');
  t.equal(code, 0);
  t.match(
    out,
    /2 rules: 1 reached by cases, 1 not\n {2}mcp {2}views: no case fails its demands\n {2}mcp {2}never: no case reaches it\n$/,
  );
  t.equal((await run(cases, '--full-coverage')).code, 1);
  t.match(JSON.parse((await run(cases, '--full-coverage', '--json')).out), {
    ok: false,
    failed: 0,
    coverage: [
      { route: 'mcp', rule: 'views', allowed: 1, denied: 0, covered: true },
      { route: 'mcp', rule: 'never', denied: 0, covered: false },
    ],
  });
});

t.test('TAP and JUnit, with what XML cannot hold', async (t) => {
  const cases = `policy: gateway.yaml\ncases:${passing}\n  - {name: "<b> & \\"c\\" #\\\\ \\u0001\\n]]>", as: {client: f}, call: {tool: list_x}, expect: allow}\n`;
  const tap = await run(cases, '--format', 'tap');
  t.match(
    tap.out,
    /^TAP version 14\n1\.\.2\nok 1 - the frontend lists dashboards\nnot ok 2 - <b> & "c" \\#\\\\ \]\]>\n {2}---\n {2}\{.*\}\n {2}\.\.\.\n$/,
  );
  const { out } = await run(cases, '--format', 'junit');
  t.match(out, '<testsuite name="cases.yaml" tests="2" failures="1" errors="0">');
  t.match(out, '<testcase name="the frontend lists dashboards" classname="cases.yaml" file="cases.yaml" line="3"/>');
  t.match(out, '<testcase name="&#60;b&#62; &#38; &#34;c&#34; #\\ \ufffd&#10;]]&#62;"');
  t.match(out, '<failure message="the decision is deny, not allow">');
  t.notMatch(out, '\u0001');
});
