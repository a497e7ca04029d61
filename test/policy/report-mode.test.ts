// Rules in report mode: they are decided beside the others, and change nothing.
import fc from 'fast-check';
import t from 'tap';
import { parse } from 'yaml';
import { decide } from '../../src/policy/decide.ts';
import type { Decision } from '../../src/policy/decision.ts';
import { unreachableRules } from '../../src/policy/lint/unreachable-rules.ts';
import { itemOf } from '../../src/policy/list-item.ts';
import type { McpRuleConfig } from '../../src/policy/rule.ts';
import { scopesOf } from '../../src/policy/rule.ts';
import { mcpSelectorTypes } from '../../src/policy/selectors/selector-types.ts';
import { usabilityOf } from '../../src/policy/visibility.ts';
import { agent, attributesOf, call, compile, frontend, mcpPolicy, pathPolicy, type Request, rpc } from './scene.ts';

const reportsOf = (policy: ReturnType<typeof mcpPolicy>, request: Request, caller = frontend) =>
  decide(attributesOf(caller, request), policy).reports?.map(textOf);

function textOf(decision: Decision): string {
  return decision.allow ? `allow ${decision.rule}` : `${decision.reason} ${decision.rule}`;
}

t.test('a report rule that would deny, allow, lack a scope or err is in `reports`, and the next rule decides', (t) => {
  const policy = mcpPolicy(`
    - {name: denies, mode: report, deny: {tools: [a]}}
    - {name: allows, mode: report, allow: {tools: [b, denied]}}
    - {name: lacks, mode: report, allow: {tools: [c]}, require: {scopes: [x]}}
    - {name: errs, mode: report, allow: {tools: [d], when: args.none}}
    - {name: demand-errs, mode: report, allow: {tools: [e]}, require: {when: args.none}}
    - {name: other, mode: report, allow: {tools: [a], when: "has(args.other)"}}
    - {name: works, allow: {tools: [a, b, c, d, e]}}
    - {name: behind, mode: report, deny: {tools: ["*"]}}
  `);
  for (const [tool, reports, decision] of [
    ['a', ['denied denies'], 'allow works'],
    ['b', ['allow allows'], 'allow works'],
    ['c', ['insufficient_scope lacks'], 'allow works'],
    ['d', ['condition_error errs'], 'allow works'],
    ['e', ['condition_error demand-errs'], 'allow works'],
    ['denied', ['allow allows', 'denied behind'], 'denied undefined'],
  ] as const) {
    t.strictSame(reportsOf(policy, call(tool)), reports, `${tool}: only rules before the one that governs`);
    t.equal(textOf(decide(attributesOf(frontend, call(tool)), policy)), decision, tool);
  }
  t.strictSame(reportsOf(policy, call('a', { other: 1 })), ['denied denies', 'allow other'], 'one a rule, in order');
  t.strictSame(reportsOf(policy, rpc('ping')), undefined, 'no rule in report mode matches');
  t.end();
});

t.test('of a path route too', (t) => {
  const policy = pathPolicy(`
    rules:
      - {name: tight, mode: report, allow: {methods: [GET]}, require: {scopes: [x]}}
      - allow: {methods: [GET]}
  `);
  t.match(decide(attributesOf(frontend, { method: 'GET', path: '/a' }), policy), {
    allow: true,
    reports: [{ allow: false, reason: 'insufficient_scope', rule: 'tight', missingScopes: ['x'] }],
  });
  t.end();
});

t.test('a message that names several things has one report a rule, a denial before a permission', (t) => {
  const policy = mcpPolicy(`
    - {name: some, mode: report, allow: {resources: ["a://1"]}}
    - {name: none, mode: report, deny: {resources: ["a://2"]}}
    - {name: deny-2, mode: report, deny: {resources: ["a://2"], methods: [resources/read]}}
    - allow: {resources: ["a://*"]}
  `);
  const listen = (...resourceSubscriptions: string[]) =>
    rpc('subscriptions/listen', { notifications: { resourceSubscriptions } });
  t.strictSame(reportsOf(policy, listen('a://1', 'a://2')), ['allow some', 'denied none', 'denied deny-2']);
  const unknown = rpc('subscriptions/listen', { other: { resourceSubscriptions: ['a://1'] } });
  t.match(decide(attributesOf(frontend, unknown), policy), { allow: false, unknownMember: true });
  t.end();
});

t.test('a condition in report mode uses up no steps of the rules that are enforced', (t) => {
  const words = JSON.stringify(Array.from({ length: 250 }, (_, index) => `word${index}`));
  const rules = `
    - {name: costly, mode: report, allow: {tools: [a], when: '!${words}.exists(word, args.sql.contains(word))'}}
    - {allow: {tools: [a], when: "args.sql.startsWith('aK')"}}
  `;
  const request = call('a', { sql: 'aK'.repeat(100_000) });
  t.match(decide(attributesOf(frontend, request), mcpPolicy(rules)), {
    allow: true,
    rule: 'rules[1]',
    reports: [{ allow: false, reason: 'condition_error', rule: 'costly', problem: 'too_many_steps' }],
  });
  t.match(decide(attributesOf(frontend, request), mcpPolicy(rules.replace(', mode: report', ''))), {
    allow: false,
    reason: 'condition_error',
    rule: 'costly',
  });
  t.end();
});

t.test('decisions, lists, scopes and tool names are those of the same rules without the ones in report mode', (t) => {
  const enforced = parse(`
    - {name: no, deny: {tools: [delete_*]}}
    - {name: json, allow: {tools: [chart], when: "has(args.format) && args.format == 'json'"}, require: {scopes: [dashboards:read]}}
    - {name: chart, allow: {tools: [chart]}, require: {scopes: [exports:create]}}
    - {name: agents, allow: {clients: [ai_agent_prod], tools: ["*"]}, require: {when: args.limit < 5}}
    - {name: list, allow: {tools: [list]}}
  `) as McpRuleConfig[];
  const selectors = [
    { tools: ['*'] },
    { tools: ['chart', 'new_tool'] },
    { tools: ['list'], when: 'args.limit < 5' },
    { tools: ['list', 'chart'], when: 'args.none' },
    { tools: ['delete_*'], clients: ['ai_agent_prod'] },
    { methods: ['*'] },
  ];
  const reported = fc
    .tuple(fc.constantFrom('allow', 'deny'), fc.constantFrom(...selectors), fc.nat({ max: enforced.length }))
    .map(([effect, config, at]) => ({
      at,
      rule: { mode: 'report', [effect]: config, ...(effect === 'allow' && { require: { scopes: ['new:scope'] } }) },
    }));
  const without = compile({ mcp: { rules: enforced } });
  const calls = ['chart', 'list', 'delete_it', 'new_tool', 'other'].flatMap((tool) =>
    [agent, frontend].map((caller) => ({ tool, caller })),
  );
  const behaviourOf = (policy: typeof without) => [
    scopesOf(policy),
    [...policy.toolNames],
    calls.map(({ tool, caller }) =>
      usabilityOf(itemOf('tool', tool)!, attributesOf(caller, rpc('tools/list')), policy),
    ),
    calls.flatMap(({ tool, caller }) =>
      [{}, { format: 'json' }, { limit: 1 }].map((args) => {
        const { reports: _, ...decision } = decide(attributesOf(caller, call(tool, args)), policy);
        return decision;
      }),
    ),
  ];
  fc.assert(
    fc.property(fc.array(reported, { minLength: 1, maxLength: 4 }), (more) => {
      const rules = enforced.flatMap((rule, index) => [
        ...more.filter(({ at }) => at === index).map(({ rule }) => rule as McpRuleConfig),
        rule,
      ]);
      const last = more.filter(({ at }) => at === enforced.length).map(({ rule }) => rule as McpRuleConfig);
      const policy = compile({ mcp: { rules: [...rules, ...last] } });
      t.strictSame(behaviourOf(policy), behaviourOf(without));
    }),
    { numRuns: 30 },
  );
  t.end();
});

t.test(
  'lint: a rule in report mode makes no other unreachable, and is unreachable behind one that is enforced',
  (t) => {
    const lint = (yaml: string) => unreachableRules(parse(yaml) as McpRuleConfig[], mcpSelectorTypes);
    t.strictSame(lint('[{mode: report, deny: {tools: ["*"]}}, {allow: {tools: [a]}}]'), []);
    t.strictSame(lint('[{mode: report, deny: {tools: ["*"]}}, {mode: report, allow: {tools: [a]}}]'), []);
    t.strictSame(lint('[{mode: enforce, allow: {tools: ["*"]}}, {mode: report, deny: {tools: [a]}}]'), [
      { index: 1, by: 0 },
    ]);
    t.end();
  },
);
