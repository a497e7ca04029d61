// Messages of rules: what a caller is told whom a rule denies, or who does not meet its demands.
import t from 'tap';
import { decide } from '../../src/policy/decide.ts';
import { denial } from '../../src/policy/decision.ts';
import { fileOf, lineAt, linesOf } from '../config/support.ts';
import { attributesOf, callerOf, mcpPolicy, rpc } from '../policy/scene.ts';
import { startScenario } from '../support/scenario.ts';

const rows = 'Ask for at most 1000 rows (`request.limit`).';
const sql = 'Ask the data team for the scope « queries:execute ».';

t.test('a refused call is told the message of the rule that governs it, and of no other', async (t) => {
  const limit = 'args.request.limit >= 1 && args.request.limit <= 1000';
  const mcpRules = [
    { name: 'other', allow: { tools: ['other'] }, require: { scopes: ['x'] }, message: 'Never this one.' },
    { name: 'never', deny: { tools: ['drop_*'] }, message: 'Nobody drops anything here.' },
    { name: 'rows', allow: { tools: ['execute_sql'] }, require: { when: limit }, message: rows },
    { name: 'scope', allow: { tools: ['save_sql_query'] }, require: { scopes: ['queries:execute'] }, message: sql },
    { name: 'selected', allow: { tools: ['pick'], when: 'args.a == 1' }, require: { scopes: ['x'] }, message: 'No.' },
  ];
  const rules = [
    {
      allow: { paths: ['/api/exports'] },
      require: { scopes: ['exports:create'] },
      message: 'Exports are for reports.',
    },
  ];
  const { frontend, upstream, recordOf } = await startScenario(
    t,
    { routes: { '/mcp': { mcp: { rules: mcpRules } }, '/api/*': { scopes: undefined, rules } } },
    { inject: true },
  );
  for (const [tool, args, code, rule, message] of [
    ['execute_sql', { request: { limit: 1001 } }, 'denied', 'rows', rows],
    ['execute_sql', { request: {} }, 'condition_error', 'rows', rows],
    ['execute_sql', { request: { limit: 1, LIMIT: 9999 } }, 'condition_error', 'rows', /Send each name once/],
    ['drop_table', {}, 'denied', 'never', 'Nobody drops anything here.'],
    ['save_sql_query', {}, 'insufficient_scope', 'scope', sql],
    ['pick', {}, 'condition_error', 'selected', /^The rule for this call cannot be applied/],
    ['pick', { a: 2 }, 'denied', undefined, /^No rule of this gateway allows/],
  ] as const) {
    const answer = await frontend.call(tool, args);
    const { error } = JSON.parse(answer.text) as { error: { message: string; data: Record<string, unknown> } };
    t.match(error, { message, data: { code, requestId: String } }, `${tool} ${JSON.stringify(args)}`);
    const record = await recordOf(answer);
    t.match(
      { ...record, rule: record.rule },
      { decision: 'deny', outcome: 'refused', rule },
      'the record names the rule',
    );
    t.notMatch(JSON.stringify(record), /at most 1000 rows/, 'and does not repeat the message');
  }
  const problem = await frontend.send({ path: '/api/exports' });
  t.match(
    [problem.status, JSON.parse(problem.text)],
    [403, { code: 'insufficient_scope', detail: 'Exports are for reports.', requestId: String }],
  );
  t.match(problem.headers['www-authenticate'], /error="insufficient_scope", scope="exports:create"/);
  t.equal(upstream.requests.length, 0);
});

t.test('scopes that several rules miss are told in no rule’s words', (t) => {
  const policy = mcpPolicy(`
    - {allow: {resources: ["a://*"]}, require: {scopes: [a]}, message: About a.}
    - {allow: {resources: ["b://*"]}, require: {scopes: [b]}, message: About b.}
    - {allow: {methods: ["*"]}}
  `);
  const listen = (...uris: string[]) => {
    const request = rpc('subscriptions/listen', { notifications: { resourceSubscriptions: uris } });
    const decision = decide(attributesOf(callerOf({}, []), request), policy);
    return decision.allow ? 'allowed' : denial(decision).message;
  };
  t.equal(listen('a://1', 'a://2'), 'About a.');
  t.match(listen('a://1', 'b://1'), /^This call needs the scopes a b\./);
  t.end();
});

t.test('a message is a sentence on one line, of no secret, and told to somebody', async (t) => {
  const yaml = (rule: string) =>
    fileOf({ routes: `[{path: /mcp, upstream: superset, authenticate: corp, mcp: {rules: [{${rule}}]}}]` });
  const at = 'routes[0].mcp.rules[0].message';
  const require = 'allow: {tools: [a]}, require: {scopes: [x]}';
  for (const [rule, says] of [
    [`${require}, message: "\${env:SECRET}"`, `${at}: must not hold an interpolated value: callers are told it`],
    [`${require}, message: "a\\nb"`, `${at}: expected text on one line, without control characters`],
    [`${require}, message: ${'x'.repeat(513)}`, `${at}: expected at most 512 characters`],
    [
      'allow: {tools: [a]}, message: x',
      `warning: ${at}: is told to nobody: the rule denies nothing and has no require`,
    ],
    [
      'allow: {tools: [a]}, require: {senderConstrained: false}, message: x',
      `warning: ${at}: is told to nobody: the rule denies nothing and has no require`,
    ],
  ] as const) {
    const text = yaml(rule);
    t.same(await linesOf(t.testdir(), text, { env: { SECRET: 'hunter2hunter2' } }), [lineAt(text, 'message: ‸', says)]);
  }
  t.same(await linesOf(t.testdir(), yaml('deny: {tools: [a]}, message: "Write $${x} here."')), []);
});
