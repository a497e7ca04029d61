// Lists and decisions agree: a property over generated policies, and tables for what hides an item.
import fc from 'fast-check';
import t from 'tap';
import type { Caller } from '../../src/authn/caller/principal.ts';
import { readMessage } from '../../src/mcp/read-message.ts';
import { decide } from '../../src/policy/decide.ts';
import { anyToolThrough, itemOf, type ListItem, templateItem } from '../../src/policy/list-item.ts';
import type { McpRuleConfig, Policy } from '../../src/policy/rule.ts';
import { type Usability, usabilityOf } from '../../src/policy/visibility.ts';
import {
  agent,
  attributesOf,
  callerOf,
  compile,
  frontend,
  mcpPolicy,
  type Request,
  reporting,
  rpc,
} from '../policy/scene.ts';

const list = rpc('tools/list');
const authenticators = ['corp-oauth', 'legacy-keys', 'workloads'];

const conditions = [
  'true',
  'false',
  "has(args.format) && args.format == 'json'",
  "!has(args.format) || args.format != 'json'",
  "args.format == 'json'",
  "has(args.format) || principal.clientId == 'ai_agent_prod'",
  "'queries:execute' in principal.scopes",
  "tool.startsWith('get_')",
  "tool == 'get_chart' && has(args.limit) && args.limit <= 10",
  "principal.claims.tenant == 'acme'",
  "args.limit > 5 && principal.claims.tenant == 'acme'",
  "principal.claims.tenant == 'acme' || args.limit > 5",
  "size(args) > 0 ? principal.clientId == 'ai_agent_prod' : true",
  'has(args.list) && args.list.all(each, each > 1)',
  "request.address == '192.0.2.1'",
];
const names = ['get_chart', 'get_dashboard', 'list_charts', 'execute_sql', 'call_tool'];
const uris = ['db://main/t1', 'db://main/t2', 'db://other/t1', 'db://x/../y', 'file:///etc/x', 'db://'];
const templates = ['db://{db}/t1', 'db://main/{table}', '{+any}', 'db://x/../{y}', 'file://{/path*}', 'db://main/t1'];
const scopes = ['dashboards:read', 'queries:execute', 'exports:create'];
const some = <T>(values: readonly T[]) => fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength: 3 });
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 });

const target = fc.oneof(
  fc.record({ tools: some([...names, 'get_*', '*', '*_chart*', 'g*t']) }),
  fc.record({ resources: some([...uris, 'db://*', '*', '*/t1', 'db://main/*', 'db://*/t*', 'file:*']) }),
  fc.record({ prompts: some(['quick*', 'create']), methods: fc.constant(['prompts/get']) }),
  fc.record({ methods: some(['tools/*', 'resources/read', 'resources/subscribe', 'prompts/*']) }),
  fc.record({ tools: some(names), resources: some(uris) }),
);
const selector = fc
  .tuple(
    target,
    fc.record({
      clients: optional(some(['ai_agent_prod', 'corp-oauth/analytics_frontend'])),
      claims: optional(fc.constantFrom({ tenant: ['acme'] }, { level: [1, 2] })),
      networks: optional(fc.constantFrom(['192.0.2.0/24'], ['10.0.0.0/8'])),
      when: optional(fc.constantFrom(...conditions)),
    }),
  )
  .map(([what, who]) => ({ ...what, ...who }));
const requirement = fc.record({
  scopes: optional(some(scopes)),
  anyScope: optional(some(scopes)),
  authenticatedBy: optional(some(['corp-oauth', 'workloads'])),
  senderConstrained: optional(fc.boolean()),
  when: optional(fc.constantFrom(...conditions)),
});
const rule = fc.oneof(
  { weight: 3, arbitrary: fc.record({ allow: selector, require: optional(requirement) }) },
  { weight: 1, arbitrary: fc.record({ deny: selector }) },
) as fc.Arbitrary<McpRuleConfig>;
const policies = fc
  .array(rule, { maxLength: 6 })
  .map((rules) => ({ rules, policy: compile({ mcp: { rules } }, authenticators) }));

const acme = callerOf({ clientId: 'analytics_frontend', claims: { tenant: 'acme', level: 2 } }, scopes.slice(0, 2));
const callers = fc.constantFrom<Caller | undefined>(agent, frontend, reporting, acme, undefined);
const args = fc.record(
  {
    format: fc.constantFrom('json', 'csv', 7),
    limit: fc.constantFrom(1, 7, 100),
    list: fc.constantFrom([], [1], [2, 3], 'no list'),
    other: fc.jsonValue(),
  },
  { requiredKeys: [] },
);

/** What a list may do with an item when a call of what it stands for is decided so. */
function agrees(policy: Policy, caller: Caller | undefined, item: ListItem | undefined, call: Request): boolean {
  const decision = decide(attributesOf(caller, call), policy);
  const shown: Usability = item === undefined ? 'hidden' : usabilityOf(item, attributesOf(caller, list), policy);
  if (decision.allow) return shown === 'usable';
  return decision.reason !== 'insufficient_scope' || shown !== 'hidden';
}

function messageOf(method: string, params: object, via?: string): Request {
  const message = readMessage(Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })));
  return { message: { ...message, via } };
}

t.test('what is allowed for some arguments is usable, and what lacks only scopes for some is obtainable', async () => {
  const check = fc.property(policies, callers, fc.constantFrom(...names), args, ({ policy }, caller, name, called) => {
    const direct = agrees(policy, caller, itemOf('tool', name), messageOf('tools/call', { name, arguments: called }));
    const through = messageOf('tools/call', { name, arguments: called }, 'call_tool');
    return direct && agrees(policy, caller, anyToolThrough('call_tool'), through);
  });
  fc.assert(check, { numRuns: 3000 });
});

t.test('a tool that may be called through a meta-tool may be called directly', async () => {
  const check = fc.property(policies, callers, fc.constantFrom(...names), args, ({ policy }, caller, name, called) => {
    const message = messageOf('tools/call', { name, arguments: called }, 'call_tool');
    return agrees(policy, caller, itemOf('tool', name), message);
  });
  fc.assert(check, { numRuns: 1000 });
});

t.test('the same holds for prompts, for resources, and for templates with what they expand to', async () => {
  const prompts = fc.property(
    policies,
    callers,
    fc.constantFrom('quickstart', 'create'),
    args,
    (drawn, caller, name, a) =>
      agrees(drawn.policy, caller, itemOf('prompt', name), messageOf('prompts/get', { name, arguments: a })),
  );
  fc.assert(prompts, { numRuns: 1000 });
  const resources = fc.property(policies, callers, fc.constantFrom(...uris), ({ policy }, caller, uri) =>
    agrees(policy, caller, itemOf('resource', uri), messageOf('resources/read', { uri })),
  );
  fc.assert(resources, { numRuns: 1000 });
  const values = fc.oneof(fc.constantFrom('', 'main', 't1', 'x', '..', 'main/t1', '%2e', '/etc/x'), fc.string());
  const expanded = fc.property(
    policies,
    callers,
    fc.constantFrom(...templates),
    fc.array(values, { minLength: 2, maxLength: 2 }),
    ({ policy }, caller, template, drawn) => {
      const left = [...drawn];
      const uri = template.replaceAll(/\{[^}]*\}/g, () => left.shift() ?? '');
      return agrees(policy, caller, templateItem(template), messageOf('resources/read', { uri }));
    },
  );
  fc.assert(expanded, { numRuns: 3000 });
});

interface Row {
  readonly rules: string;
  readonly item: ListItem | undefined;
  readonly caller?: Caller;
  readonly expected: Usability;
}

const tool = itemOf('tool', 'get_chart');
const rows: Readonly<Record<string, Row>> = {
  'no rule': { rules: '[]', item: tool, expected: 'hidden' },
  'a rule for another': { rules: '[{allow: {tools: [other]}}]', item: tool, expected: 'hidden' },
  'an allow': { rules: '[{allow: {tools: ["get_*"]}}]', item: tool, expected: 'usable' },
  'missing scopes': {
    rules: '[{allow: {tools: [get_chart]}, require: {scopes: [a:b]}}]',
    item: tool,
    expected: 'obtainable',
  },
  'missing scopes and another unmet demand': {
    rules: '[{allow: {tools: [get_chart]}, require: {scopes: [a:b], authenticatedBy: [partner]}}]',
    item: tool,
    expected: 'hidden',
  },
  'a token that is not bound': {
    rules: '[{allow: {tools: [get_chart]}, require: {scopes: [a:b], senderConstrained: true}}]',
    item: tool,
    expected: 'hidden',
  },
  'a deny before the allow': {
    rules: '[{deny: {tools: ["*chart"]}}, {allow: {tools: [get_chart]}}]',
    item: tool,
    expected: 'hidden',
  },
  'a deny for some arguments': {
    rules: '[{deny: {tools: [get_chart], when: "has(args.x)"}}, {allow: {tools: [get_chart]}}]',
    item: tool,
    expected: 'usable',
  },
  'a deny whose condition no argument changes': {
    rules: '[{deny: {tools: [get_chart], when: "true || has(args.x)"}}, {allow: {tools: [get_chart]}}]',
    item: tool,
    expected: 'hidden',
  },
  'an earlier demand that never falls through': {
    rules: '[{allow: {tools: [get_chart]}, require: {when: "false"}}, {allow: {tools: [get_chart]}}]',
    item: tool,
    expected: 'hidden',
  },
  'a condition that errs whatever the arguments are': {
    rules: '[{allow: {tools: [get_chart], when: "principal.claims.none == 1"}}, {allow: {tools: ["*"]}}]',
    item: tool,
    expected: 'hidden',
  },
  'a condition that errs unless the arguments decide it': {
    rules: `[{allow: {tools: [get_chart], when: "args.x && principal.claims.none == 1"}}, {allow: {tools: ["*"]}}]`,
    item: tool,
    expected: 'usable',
  },
  'one format within reach and the other one scope away': {
    rules: `[{allow: {tools: [get_chart], when: "args.f == 1"}, require: {scopes: [a:b]}}, {allow: {tools: [get_chart]}}]`,
    item: tool,
    expected: 'usable',
  },
  'a meta-tool through which nothing is reached': {
    rules: '[{deny: {tools: ["*"], clients: [ai_agent_prod]}}, {allow: {tools: [x]}}]',
    item: anyToolThrough('call_tool'),
    expected: 'hidden',
  },
  'a meta-tool that is denied itself': {
    rules: '[{deny: {tools: [call_tool]}}, {allow: {tools: [x]}}]',
    item: anyToolThrough('call_tool'),
    expected: 'hidden',
  },
  'a meta-tool with something behind it': {
    rules: '[{deny: {tools: ["a*"]}}, {allow: {tools: [x]}}]',
    item: anyToolThrough('call_tool'),
    expected: 'usable',
  },
  'a meta-tool whose inner tool is known to the condition only': {
    rules: `[{allow: {tools: ["*"], when: "tool == 'x'"}}]`,
    item: anyToolThrough('call_tool'),
    expected: 'usable',
  },
  'a template within an allow': {
    rules: '[{allow: {resources: ["db://*"]}}]',
    item: templateItem('db://{x}/y'),
    expected: 'usable',
  },
  'a template of which one resource is allowed': {
    rules: '[{allow: {resources: ["db://main/y"]}}]',
    item: templateItem('db://{x}/y'),
    expected: 'usable',
  },
  'a template that overlaps an allow at both ends': {
    rules: '[{allow: {resources: ["db://main*/y"]}}]',
    item: templateItem('db://{x}{?q}'),
    expected: 'usable',
  },
  'a template beside every allow': {
    rules: '[{allow: {resources: ["db://*/z"]}}]',
    item: templateItem('db://{x}/y'),
    expected: 'hidden',
  },
  'a template that a deny covers in part': {
    rules: '[{deny: {resources: ["db://secret*"]}}, {allow: {resources: ["db://*"]}}]',
    item: templateItem('db://{x}/y'),
    expected: 'usable',
  },
  'a template that a deny covers as a whole': {
    rules: '[{deny: {resources: ["db://*/y"]}}, {allow: {resources: ["db://*"]}}]',
    item: templateItem('db://{x}/y'),
    expected: 'hidden',
  },
  'a template with a dangerous literal': {
    rules: '[{allow: {resources: ["*"]}}]',
    item: templateItem('db://{x}/../y'),
    expected: 'hidden',
  },
  'a template with dots that need not stay a segment': {
    rules: '[{allow: {resources: ["*"]}}]',
    item: templateItem('db://x/..{y}'),
    expected: 'usable',
  },
  'a template with braces that do not match': {
    rules: '[{allow: {resources: ["*"]}}]',
    item: templateItem('db://{x'),
    expected: 'hidden',
  },
  'a rule that allows completion alone': {
    rules: '[{allow: {methods: ["completion/complete"]}}]',
    item: itemOf('prompt', 'quickstart'),
    expected: 'hidden',
  },
};

t.test('what hides an item, and what does not', async (t) => {
  for (const [sentence, { rules, item, caller = agent, expected }] of Object.entries(rows)) {
    const found = item === undefined ? 'hidden' : usabilityOf(item, attributesOf(caller, list), mcpPolicy(rules));
    t.equal(found, expected, sentence);
  }
});
