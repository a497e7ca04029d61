// Random policies, callers and calls, for properties of the policy.
import fc from 'fast-check';
import type { Caller } from '../../src/authn/caller/principal.ts';
import { readMessage } from '../../src/mcp/read-message.ts';
import type { McpRuleConfig, PathRuleConfig } from '../../src/policy/rule.ts';
import { agent, call, callerOf, callThrough, compile, frontend, rpc } from './scene.ts';

const some = <T>(values: readonly T[]) => fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength: 3 });
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 });

const names = ['get_a', 'get_b', 'get_a_b', 'set_a', 'call_tool', 'd\u0435l_a', 'my tool', 'a*', '', 'constructor'];
const globs = [...names, '*', '**', 'get_*', '*_a', 'get_*_b', 'g*a', '*et_*', 'get_a*', '*t_a', 's*_a', '__proto__'];
const uris = [
  ...['db://x/a', 'db://x/b', 'db://x/é', 'db://x/%C3%A9', 'db://x/e\u0301', 'http://h', 'http://h/', 'HTTP://H/'],
  ...['http://h:80/', 'db://x/%28', 'db://x/(', 'db://x/../b', 'a:b', 'x y'],
];
const uriGlobs = [...uris, '*', 'db://*', 'db://x/*', '*/b', 'db://x/%C3%A9*', 'http://h*', 'http://H/*', 'db://*/%28'];
const methods = [
  'tools/call',
  'resources/read',
  'resources/subscribe',
  'prompts/get',
  'tasks/get',
  'ping',
  'x\u200b/y',
];
const methodGlobs = [...methods, '*', 'tools/*', 'resources/*', '*/get', 'x*', 'subscriptions/listen'];
const scopes = ['dashboards:read', 'queries:execute', 'exports:create'];
const conditions = [
  ...['has(args.x) && args.x == 1', 'args.x > 1', "principal.clientId == 'ai_agent_prod'", "tool == 'get_a'"],
  ...['args.list.exists(each, each == 1)', "request.address == '192.0.2.1'", "principal.claims.tenant == 'acme'"],
];

const who = fc.oneof(
  fc.constant({}),
  fc.record({
    clients: optional(some(['ai_agent_prod', 'corp-oauth/analytics_frontend', 'other', 'a*'])),
    claims: optional(
      fc.constantFrom<object>(
        ...[{ tenant: ['acme'] }, { level: [1, 2] }, { tenant: ['acme'], level: ['2'] }, { groups: ['a', true] }],
      ),
    ),
    networks: optional(
      some(['192.0.2.0/24', '10.0.0.0/8', '192.0.2.1', '2001:db8::/33', '::ffff:0:0/95', '0.0.0.0/0']),
    ),
    when: optional(fc.constantFrom(...conditions)),
  }),
);
const target = fc.oneof(
  fc.record({ tools: some(globs) }),
  fc.record({ resources: some(uriGlobs), methods: optional(some(['resources/read', 'resources/*'])) }),
  fc.record({ methods: some(methodGlobs) }),
  fc.record({ tools: some(globs), prompts: some(globs), resources: some(uriGlobs) }),
  fc.record({}),
);
const requirement = fc.oneof(
  fc.record({ scopes: some(scopes) }),
  fc.record({
    scopes: optional(some(scopes)),
    anyScope: optional(some(scopes)),
    authenticatedBy: optional(some(['corp-oauth', 'workloads'])),
    senderConstrained: optional(fc.boolean()),
    when: optional(fc.constantFrom(...conditions)),
  }),
);
const ruleOf = (selectors: fc.Arbitrary<object>) => {
  const rule = fc.oneof(
    { weight: 3, arbitrary: fc.record({ allow: selectors, require: optional(requirement) }) },
    { weight: 2, arbitrary: fc.record({ deny: selectors.filter((deny) => Object.values(deny).some(Boolean)) }) },
  );
  const more = fc.record({
    message: fc.constantFrom(undefined, undefined, 'Ask the operator.'),
    mode: fc.constantFrom(undefined, undefined, undefined, undefined, undefined, 'report'),
  });
  return fc.tuple(rule, more).map(([one, other]) => ({ ...one, ...other }));
};
const both = (what: fc.Arbitrary<object>) => fc.tuple(what, who).map(([one, other]) => ({ ...one, ...other }));
export const mcpPolicies = fc
  .array(ruleOf(both(target)) as fc.Arbitrary<McpRuleConfig>, { maxLength: 8 })
  .map((rules) => compile({ mcp: { rules } }));

const acme = callerOf({ clientId: 'analytics_frontend', claims: { tenant: 'acme', level: 2 } }, scopes.slice(0, 2));
const grouped = callerOf({ clientId: 'other', claims: { groups: ['b', 'a', { toString: 'a' }], level: '2' } }, []);
/** Its token has scopes that its certificate does not grant, and one that implies another. */
const capped: Caller = {
  ...callerOf({ clientId: 'ai_agent_prod', scopes: [...scopes, 'dashboards:write'] }, [scopes[1]!, scopes[0]!]),
  certificate: callerOf({ authenticator: 'workloads', scopes: [scopes[1]!] }, []).principal,
  authenticatedBy: ['corp-oauth', 'workloads'],
  senderConstrained: true,
};
export const callers = fc.constantFrom(agent, frontend, acme, grouped, capped, undefined);
export const addresses = fc.constantFrom(
  '192.0.2.1',
  '192.0.2.2',
  '::ffff:10.1.1.1',
  '2001:db8::1',
  '2001:db8:8000::',
  'none',
);
const plainArgs = fc.record({ x: fc.constantFrom(1, 2, 'a'), list: fc.constantFrom([1], []) }, { requiredKeys: [] });
/** Other readers may read another name or number, and a loop may take too many values. */
const hostileArgs = [{ x: 1, X: 1 }, { x: 0.12345678901234568 }, { list: new Array<number>(10_001).fill(2) }];
const args = fc.oneof(
  { weight: 9, arbitrary: plainArgs },
  { weight: 1, arbitrary: fc.constantFrom<object>(...hostileArgs) },
);
export const name = fc.constantFrom(...names);
export const uri = fc.constantFrom(...uris);
export const calls = fc.oneof(
  fc.tuple(name, args).map(([tool, given]) => call(tool, given)),
  fc.tuple(name, args).map(([tool, given]) => callThrough('call_tool', tool, given)),
  name.map((prompt) => rpc('prompts/get', { name: prompt })),
  name.map((prompt) =>
    rpc('completion/complete', { ref: { type: 'ref/prompt', name: prompt }, argument: { name: 'a', value: '' } }),
  ),
  fc
    .tuple(fc.constantFrom('resources/read', 'resources/subscribe'), uri)
    .map(([method, of]) => rpc(method, { uri: of })),
  fc
    .array(uri, { maxLength: 3 })
    .map((of) => rpc('subscriptions/listen', { notifications: { resourceSubscriptions: of } })),
  fc.constantFrom(...methods.slice(4)).map((method) => rpc(method, { taskId: 'a' })),
  fc.constantFrom({ method: 'GET' }, { method: 'DELETE' }, { method: 'POST' }),
  fc.constantFrom(rpc('ping', { more: 1 }), rpc('tools/list'), rpc('tools/list', { name: 'a' })),
  fc.constant({ message: readMessage(Buffer.from('{"jsonrpc":"2.0","id":1,"result":{}}')) }),
  fc.tuple(name, args).map(([tool, given]) =>
    rpc('tools/call', {
      name: tool,
      arguments: given,
      _meta: { 'io.modelcontextprotocol/related-task': { taskId: 'a' } },
    }),
  ),
  fc
    .tuple(uri, fc.constantFrom({}, { more: 1 }))
    .map(([of, more]) =>
      rpc('subscriptions/listen', { notifications: { resourceSubscriptions: [of], taskIds: ['a'], ...more } }),
    ),
);

const paths = ['/', '/api', '/api/', '/api/a', '/api/a/', '/api/a/b', '/apix', '/api/*'];
const what = fc.record({
  methods: optional(some(['GET', 'POST', 'HEAD'])),
  paths: optional(some(['/', '/*', '/api', '/api/', '/api/*', '/api/a', '/api/a/*'])),
});
export const pathPolicies = fc
  .array(ruleOf(both(what)) as fc.Arbitrary<PathRuleConfig>, { maxLength: 8 })
  .map((rules) => compile({ rules }));
export const pathRequests = fc.record({
  method: fc.constantFrom('GET', 'HEAD', 'POST', 'PUT'),
  path: fc.constantFrom(...paths),
});
