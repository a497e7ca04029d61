// Explanations: the selectors, conditions and demands of each rule, and the decision that follows.
import t from 'tap';
import { explain, type PartReading } from '../../src/policy/explain.ts';
import { checkAgreement } from './explain-property.ts';
import { agent, attributesOf, call, callThrough, frontend, mcpPolicy, pathPolicy, rpc } from './scene.ts';

t.test('explain agrees with decide on random policies, callers and calls', (t) => {
  for (const [what, count] of Object.entries(checkAgreement(1000))) t.ok(count > 2, `${what}: ${count}`);
  t.end();
});

const policy = mcpPolicy(`
- {name: no-deletes, deny: {tools: ["delete_*"]}}
- {name: json, allow: {tools: [get_chart_data], when: "args.format == 'json'"}, require: {scopes: [dashboards:read]}}
- {name: sql, allow: {tools: [execute_sql], clients: [ai_agent_prod]}, require: {scopes: [queries:execute], authenticatedBy: [workloads], when: "args.limit <= 1000"}}
- {name: rest, allow: {tools: ["*"], networks: [192.0.2.0/24]}, require: {anyScope: [exports:create, dashboards:read]}}
`);

const only = (parts: readonly PartReading[]) => parts[0]!;
const outcomes = ({ rules }: PartReading) => rules.map(({ rule, outcome }) => `${rule} ${outcome}`);

t.test('a refused call names for each rule what it wanted and what the call had', (t) => {
  const { decision, parts } = explain(attributesOf(agent, call('execute_sql', { limit: 5000 })), policy);
  t.match(decision, { allow: false, reason: 'denied', rule: 'sql', unmet: 'when' });
  const part = only(parts);
  t.same(outcomes(part), ['no-deletes no_match', 'json no_match', 'sql governs', 'rest not_reached']);
  t.same(part.rules[0]!.selectors, [
    { wanted: { tools: ['delete_*'] }, had: { method: 'tools/call', tool: 'execute_sql' }, matches: false },
  ]);
  t.same(part.rules[2]!.selectors[0], {
    wanted: { clients: ['ai_agent_prod'] },
    had: 'corp-oauth/ai_agent_prod',
    matches: true,
  });
  t.same(part.rules[2]!.demands, [
    { demand: 'authenticatedBy', wanted: ['workloads'], had: ['corp-oauth', 'workloads'], met: true },
    { demand: 'when', when: { source: 'args.limit <= 1000', result: false }, met: false },
    { demand: 'scopes', scopes: [{ scope: 'queries:execute', state: 'held' }], met: true },
  ]);
  t.same(part.rules[3]!.selectors, [], 'what stands behind the governing rule is not read');
  t.end();
});

t.test('a condition that errs says why, and ends the reading', (t) => {
  const { decision, parts } = explain(attributesOf(frontend, call('get_chart_data', {})), policy);
  t.match(decision, { reason: 'condition_error', rule: 'json' });
  t.match(only(parts).rules[1]!.when, { source: "args.format == 'json'", result: 'error', problem: /format/ });
  t.equal(only(parts).rules[1]!.outcome, 'error');
  t.end();
});

t.test('a deny finds the meta-tool as well as what is called through it', (t) => {
  const deny = mcpPolicy('- {deny: {tools: [call_tool]}}');
  const { parts } = explain(attributesOf(agent, callThrough('call_tool', 'execute_sql')), deny);
  t.match(only(parts).rules[0], {
    outcome: 'governs',
    selectors: [{ had: { tool: 'execute_sql', via: 'call_tool' }, matches: true }],
  });
  t.end();
});

t.test('a scope is held, implied, capped or missing', (t) => {
  const scoped = mcpPolicy('- {allow: {tools: [a]}, require: {scopes: [w, r, x, m]}}');
  const caller = { ...frontend, scopes: ['w', 'r'], principal: { ...frontend.principal, scopes: ['w'] } };
  const { decision, parts } = explain(attributesOf(caller, call('a')), scoped, ['w', 'x']);
  t.match(only(parts).rules[0]!.demands, [
    {
      scopes: [
        { scope: 'w', state: 'held' },
        { scope: 'r', state: 'implied' },
        { scope: 'x', state: 'capped' },
        { scope: 'm', state: 'missing' },
      ],
    },
  ]);
  t.match(decision, { reason: 'insufficient_scope', missingScopes: ['x', 'm'] });
  t.end();
});

t.test('a subscription is explained for the message and for each resource', (t) => {
  const read = mcpPolicy(
    '[{allow: {methods: [subscriptions/listen]}}, {allow: {resources: ["db://x/*"]}, require: {scopes: [dashboards:read]}}]',
  );
  const listen = rpc('subscriptions/listen', { notifications: { resourceSubscriptions: ['db://x/a', 'db://y'] } });
  const { decision, parts } = explain(attributesOf(frontend, listen), read);
  t.match(decision, { allow: false, reason: 'denied' });
  t.same(
    parts.map(({ method, target, decision: { allow } }) => [method, target?.name, allow]),
    [
      ['subscriptions/listen', undefined, true],
      ['subscriptions/listen', 'db://x/a', true],
      ['resources/read', 'db://x/a', true],
      ['subscriptions/listen', 'db://y', false],
      ['resources/read', 'db://y', false],
    ],
  );
  t.end();
});

t.test('a method that needs no rule is open, and not with a member that MCP does not know', (t) => {
  const of = (params: object) => only(explain(attributesOf(frontend, rpc('ping', params)), policy).parts);
  t.match(of({}), { otherwise: 'open', decision: { allow: true, rule: 'open' } });
  t.match(of({ name: 'a' }), { otherwise: 'unknown_member', decision: { allow: false } });
  t.end();
});

t.test('a path route names method, path, claims and address', (t) => {
  const paths = pathPolicy(`
authenticate: corp-oauth
rules:
  - {allow: {methods: [GET], paths: [/api/*], networks: [10.0.0.0/8], claims: {tenant: [acme]}}}
`);
  const request = { method: 'HEAD', path: '/api/x', address: '192.0.2.7' };
  const caller = { ...frontend, principal: { ...frontend.principal, claims: { tenant: 'other' } } };
  const { parts } = explain(attributesOf(caller, request), paths);
  t.same(
    only(parts).rules[0]!.selectors.map(({ wanted, had, matches }) => [Object.keys(wanted)[0], had, matches]),
    [
      ['claims', { tenant: 'other' }, false],
      ['methods', 'HEAD', true],
      ['paths', '/api/x', true],
      ['networks', '192.0.2.7', false],
    ],
  );
  t.end();
});
