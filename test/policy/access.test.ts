// Residual access of a policy: conditions that remain in words, comparisons, and agreement with `decide`.
import t from 'tap';
import { compareAccess } from '../../src/policy/access/access-simplification.ts';
import { access, checkAgreement, toolCall, words } from './access-property.ts';
import { frontend, mcpPolicy } from './scene.ts';

t.test('the access of a caller is open for a call exactly if decide allows it', (t) => {
  for (const [what, count] of Object.entries(checkAgreement(400))) t.ok(count > 5, `${what}: ${count}`);
  t.end();
});

const sql = toolCall('execute_sql');
const limit = (to: number): string => `"has(args.limit) && args.limit <= ${to}"`;
const allow = '- allow: {tools: [execute_sql]}';

const readings: readonly (readonly [string, string, string[]])[] = [
  ['no rule', '[]', []],
  ['any call', allow, ['']],
  ['a demand', `${allow}\n  require: {scopes: [queries:execute]}`, ['with scope queries:execute']],
  [
    'one of two scopes',
    `${allow}\n  require: {anyScope: [queries:execute, exports:create]}`,
    ['with scope queries:execute or with scope exports:create'],
  ],
  ['a credential that is not there', `${allow}\n  require: {authenticatedBy: [workloads]}`, []],
  ['an argument', `${allow}\n  require: {when: ${limit(1000)}}`, ['if `limit` <= 1000']],
  ['an earlier deny', `- deny: {tools: ["*"], networks: [10.0.0.0/8]}\n${allow}`, ['not from 10.0.0.0/8']],
  [
    'an earlier deny of two conditions',
    `- deny: {tools: ["*"], networks: [10.0.0.0/8], claims: {tenant: [acme]}}\n${allow}`,
    ['without tenant acme or not from 10.0.0.0/8'],
  ],
  [
    'an earlier deny that has the same condition',
    `- deny: {tools: ["*"], claims: {tenant: [acme]}, when: ${limit(9)}}\n- allow: {tools: [execute_sql], claims: {tenant: [acme]}}`,
    ['with tenant acme, unless `limit` <= 9'],
  ],
  ['a deny of everything first', `- deny: {tools: ["exec*"]}\n${allow}`, []],
  [
    'both ways of a condition',
    `- allow: {tools: [execute_sql], when: ${limit(9)}}\n${allow}`,
    ['if the arguments can be judged'],
  ],
  ['both ways of a network', `- allow: {tools: [execute_sql], networks: [10.0.0.0/8]}\n${allow}`, ['']],
  ['another client', '- allow: {tools: [execute_sql], clients: [ai_agent_prod]}', []],
];

for (const [sentence, rules, expected] of readings) {
  t.test(`access with ${sentence}`, (t) => {
    t.same(words(access(mcpPolicy(rules), frontend, sql)), expected);
    t.end();
  });
}

const when = (condition: string): string => `require: {when: "${condition}"}`;

const changes: readonly (readonly [string, string, string, ReturnType<typeof compareAccess>])[] = [
  ['a looser bound', `require: {when: ${limit(1000)}}`, `require: {when: ${limit(5000)}}`, 'wider'],
  [
    'a demand more',
    'require: {scopes: [queries:execute]}',
    'require: {scopes: [queries:execute, exports:create]}',
    'narrower',
  ],
  ['the demand left out', 'require: {scopes: [queries:execute]}', 'message: Ask us.', 'wider'],
  ['another scope', 'require: {scopes: [queries:execute]}', 'require: {scopes: [exports:create]}', 'incomparable'],
  [
    'a condition that cannot be compared',
    'require: {when: "args.a == 1"}',
    'require: {when: "args.b == 1"}',
    'incomparable',
  ],
  ['another name', 'name: one', 'name: other', 'same'],
  ['a has() of what is read left out', when('has(args.a) && args.a <= 10'), when('args.a <= 10'), 'same'],
  [
    'a has() of a holder left out',
    when('has(args.a) && has(args.a.b) && args.a.b in [1, 2]'),
    when('has(args.a.b) && args.a.b in [1, 2]'),
    'same',
  ],
  ['a has() that stands for itself left out', when('has(args.b) && args.a <= 10'), when('args.a <= 10'), 'wider'],
  ['a has() beside an or', when('has(args.a) && (args.a <= 10 || args.b)'), when('args.a <= 10 || args.b'), 'wider'],
  ['a has() and the bound', when('has(args.a) && args.a <= 10'), when('args.a <= 20'), 'wider'],
  ['a has() and a lower bound', when('has(args.a) && args.a <= 10'), when('args.a <= 5'), 'narrower'],
];

for (const [sentence, before, after, expected] of changes) {
  t.test(`a change to ${sentence} is ${expected}`, (t) => {
    const [one, other] = [before, after].map((more) => access(mcpPolicy(`${allow}\n  ${more}`), frontend, sql));
    t.equal(compareAccess(one!, other!), expected);
    t.end();
  });
}

t.test('a network within another is narrower, also where both are written otherwise', (t) => {
  const from = (range: string) =>
    access(mcpPolicy(`- allow: {tools: [execute_sql], networks: [${range}]}`), frontend, sql);
  t.equal(compareAccess(from('10.0.0.0/8'), from('10.1.0.0/16')), 'narrower');
  t.equal(compareAccess(from('10.0.0.0/8'), from('::ffff:10.0.0.0/104')), 'same');
  t.equal(compareAccess(from('10.0.0.0/8'), from('192.168.0.0/16')), 'incomparable');
  t.end();
});

const denials: readonly (readonly [string, string, ReturnType<typeof compareAccess>])[] = [
  // A call without the argument was allowed, and is a condition_error now.
  ['has(args.a) && args.a > 10', 'args.a > 10', 'narrower'],
  ['args.a > 10', 'has(args.a) && args.a > 10', 'wider'],
  ['args.a > 10', 'args.a > 5', 'narrower'],
  ['args.a > 5', 'args.a > 10', 'wider'],
  // What errs in one of them need not err in the other.
  ['args.a > 10', 'args.a > 5.5', 'incomparable'],
  ['args.a > 10 && args.b == 1', 'args.a > 10', 'incomparable'],
];

for (const [before, after, expected] of denials) {
  t.test(`a denial of ${before} that becomes one of ${after} is ${expected}`, (t) => {
    const [one, other] = [before, after].map((condition) =>
      access(mcpPolicy(`- deny: {tools: [execute_sql], when: "${condition}"}\n${allow}`), frontend, sql),
    );
    t.equal(compareAccess(one!, other!), expected);
    t.end();
  });
}
