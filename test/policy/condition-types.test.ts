// Typed conditions: unknown members and comparisons that can never hold are refused, and evaluation is as without types.
import t from 'tap';
import { createConditionCompiler, evaluateCondition } from '../../src/policy/condition/condition.ts';
import { conditionWarnings } from '../../src/policy/condition/condition-lint.ts';
import { createEvaluation } from '../../src/policy/condition/evaluation.ts';
import { fileOf, lineAt, linesOf } from '../config/support.ts';

const compile = createConditionCompiler();

t.test('principal.scope for scopes, and a condition that is no boolean', (t) => {
  const rows: [source: string, message: string | RegExp][] = [
    ["'a' in principal.scope", 'principal has no member "scope" (did you mean "scopes"?)'],
    ["has(principal.scope) && principal.scope == 'a'", 'principal has no member "scope" (did you mean "scopes"?)'],
    ["principal['client_id'] == 'a'", 'principal has no member "client_id" (did you mean "clientId"?)'],
    ["'scope' in principal", 'principal has no member "scope" (did you mean "scopes"?)'],
    ["principal.tenant == 'acme'", 'principal has no member "tenant"'],
    ["request.addres == '::1'", 'request has no member "addres" (did you mean "address"?)'],
    ['has(request.headers)', 'request has no member "headers"'],
    [
      "principal.scopes == 'a'",
      'no such overload: list<string> == string at character 1: a list holds a text with `"…" in list`',
    ],
    [
      "args.x == 1 && principal.scopes != 'a'",
      /no such overload: list<string> != string at character 16: a list holds/,
    ],
    ['request.path == 3', 'no such overload: string == int at character 1'],
    ['3 == request.path', 'no such overload: int == string at character 1'],
    ["request.method in 'GET'", /^no such overload: string in string at character 1: write the text as a list/],
    ["tool in 'execute_sql'", /^no such overload: string in string at character 1: write the text as a list/],
    ['tool in [1, 2]', 'no such overload: string in list<int> at character 1'],
    ['1 in principal.scopes', 'no such overload: int in list<string> at character 1'],
    ['principal.clientId == null', 'no such overload: string == null at character 1: ask with has() if it is there'],
    ['principal.subject < 3', 'no such overload: string < int at character 1'],
    ["principal.scopes.startsWith('a')", /^found no matching overload for 'list.startsWith\(string\)'/],
    ['principal.scopes.exists(s, s == 3)', /^no such overload: string == int/],
    ['principal.issuer.exists(s, s == "a")', /./],
    ['principal.kind', 'the condition yields string, not true or false'],
    ['principal.scopes', 'the condition yields list<string>, not true or false'],
    ['principal', 'the condition yields Principal, not true or false'],
    ['args', /^the condition yields map/],
    ['size(tool)', 'the condition yields int, not true or false'],
    ['principal.kind && true', /^Logical operator requires bool operands, got 'string'/],
    ['!request.path', /^no such overload: !string/],
  ];
  for (const [source, message] of rows) t.throws(() => compile(source), { message }, source);
  t.end();
});

t.test('what compiles is evaluated as without types', (t) => {
  const rows: [source: string, value: boolean | 'error'][] = [
    ["principal.kind == 'oauth' && 'a' in principal.scopes", true],
    ["principal['subject'] == 'alice'", true],
    ["'clientId' in principal", false],
    ['has(principal.clientId)', false],
    ["principal.clientId == 'x'", 'error'],
    ["principal.claims.tenant == 'acme' && principal.claims.profile.team == 'a'", true],
    ["'tenant' in principal.claims && size(principal.claims) == 2", true],
    ["principal.claims.exists(name, name == 'tenant')", true],
    ["principal.scopes == ['a', 'b'] && principal.scopes.all(s, s.size() == 1)", true],
    ["principal[args.name] == 'alice'", true],
    ["request.path.startsWith('/m') && request.address in ['192.0.2.1']", true],
    ['args.flag', true],
    ['args.limit <= 1000', true],
  ];
  for (const [source, value] of rows) {
    const variables = {
      principal: {
        ...{ kind: 'oauth', issuer: 'i', subject: 'alice', clientId: undefined, scopes: ['a', 'b'] },
        claims: new Map<string, unknown>([
          ['tenant', 'acme'],
          ['profile', { team: 'a' }],
        ]),
      },
      args: { name: 'subject', flag: true, limit: 10 },
      tool: 'execute_sql',
      route: 'r',
      request: { method: 'POST', path: '/mcp', address: '192.0.2.1' },
    };
    let found: boolean | 'error';
    try {
      found = evaluateCondition(compile(source), variables, createEvaluation());
    } catch {
      found = 'error';
    }
    t.equal(found, value, source);
  }
  t.end();
});

t.test('limit <= "1000", and kinds of principals that there are not', (t) => {
  const warnings = (source: string) => conditionWarnings(compile(source));
  const asText = 'args.limit is compared as text with "1000", and a number then errs: write 1000';
  t.same(warnings('args.limit <= "1000"'), [asText]);
  t.same(warnings('has(args.limit) && "1000" >= args.limit'), [asText]);
  t.same(warnings('args.limit <= 1000 && args.from >= "2026-01-01" && args.id == "1000"'), []);
  const never = (kind: string) => `principal.kind is never "${kind}", but one of oauth, api-key, mtls, none`;
  t.same(warnings("principal.kind == 'apiKey' || 'jwt' != principal.kind"), [never('apiKey'), never('jwt')]);
  t.same(warnings("principal.kind in ['oauth', 'key']"), [never('key')]);
  t.same(warnings("principal.kind in ['oauth', 'mtls', 'api-key', 'none']"), []);
  t.end();
});

t.test('principal.claims.tenat of configured claims, and tools that a condition compares', async (t) => {
  const file = (condition: string, claims = 'claims: {tenant: org_id}') =>
    fileOf({
      authenticators: `{corp: {type: jwt, issuer: https://idp.example.com/, ${claims}}}`,
      routes: `[{path: /mcp, upstream: superset, authenticate: corp, mcp: {preset: superset, rules: [{deny: {when: "${condition}"}}]}}]`,
    });
  const at = 'routes[0].mcp.rules[0].deny.when';
  const rows: [yaml: string, message?: string][] = [
    [
      file("has(principal.claims.tenat) && principal.claims.tenat != 'acme'"),
      `${at}: no authenticator of this route has the claim "tenat" in its claims (did you mean "tenant"?)`,
    ],
    [
      file("'tenat' in principal.claims"),
      `${at}: no authenticator of this route has the claim "tenat" in its claims (did you mean "tenant"?)`,
    ],
    [
      file('has(principal.claims.tenant)', 'claims: {}'),
      `${at}: no authenticator of this route has the claim "tenant" in its claims`,
    ],
    [file("has(principal.claims.tenant) && principal.claims['tenant'] == 'acme'")],
    [
      file("tool == 'exec_sql'"),
      `warning: ${at}: "exec_sql" is no known tool of this server (did you mean "execute_sql"?)`,
    ],
    [
      file("tool in ['execute_sql', 'save_sqlquery']"),
      `warning: ${at}: "save_sqlquery" is no known tool of this server (did you mean "save_sql_query"?)`,
    ],
    [file("tool != 'execute_sql' && tool.startsWith('exec')")],
  ];
  for (const [yaml, message] of rows) {
    t.same(await linesOf(t.testdir(), yaml), message === undefined ? [] : [lineAt(yaml, 'when: ‸', message)]);
  }
});
