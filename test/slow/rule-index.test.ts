// The index of rules holds to the plain walk over all of them: properties over generated policies, calls and list items.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { addressBits, compileNetworks, rangeBits } from '../../src/ip-ranges.ts';
import type { Attributes } from '../../src/policy/attributes.ts';
import { decide } from '../../src/policy/decide.ts';
import { anyToolThrough, itemOf, type ListItem, templateItem } from '../../src/policy/list-item.ts';
import type { Policy } from '../../src/policy/rule.ts';
import { rulesOfCall, rulesOfItem } from '../../src/policy/rule-index.ts';
import { usabilityOf } from '../../src/policy/visibility.ts';
import {
  addresses,
  callers,
  calls,
  mcpPolicies,
  name,
  pathPolicies,
  pathRequests,
  uri,
} from '../policy/arbitraries.ts';
import { attributesOf, call, callerOf, compile, rpc } from '../policy/scene.ts';

/** The same policy, each of whose rules may match any call. */
const walkAll = (policy: Policy): Policy => ({
  ...policy,
  index: { anywhere: [...policy.rules.keys()], by: {}, claims: [] },
});

/** The decision, and the steps that its conditions took. */
function outcome(attributes: Attributes, policy: Policy) {
  const decision = decide(attributes, policy);
  return { decision, steps: attributes.evaluation.steps, problem: attributes.evaluation.error?.problem };
}

t.test('a call is decided as by the plain walk, in as many steps', (t) => {
  const seen = {
    ...{ left: 0, allow: 0, denied: 0, insufficient_scope: 0, condition_error: 0 },
    ...{ client: 0, claim: 0, network: 0 },
  };
  const check = fc.property(mcpPolicies, callers, calls, addresses, (policy, caller, request, address) => {
    const attributes = () => attributesOf(caller, { ...request, address });
    const found = outcome(attributes(), policy);
    assert.deepStrictEqual(found, outcome(attributes(), walkAll(policy)));
    seen.left += policy.rules.length - [...rulesOfCall(attributes(), policy.index)].length;
    seen[found.decision.allow ? 'allow' : found.decision.reason] += 1;
    for (const kind of ['client', 'network'] as const) if (policy.index.by[kind] !== undefined) seen[kind] += 1;
    if (policy.index.claims.length > 0) seen.claim += 1;
  });
  fc.assert(check, { numRuns: 2000 });
  for (const [kind, count] of Object.entries(seen)) t.ok(count > 10, `${kind}: ${count}`);
  t.end();
});

t.test('an item is judged as by the plain walk', (t) => {
  const seen = { left: 0, usable: 0, obtainable: 0, hidden: 0 };
  const items = fc.oneof(
    fc.tuple(fc.constantFrom('tool', 'prompt'), name).map(([kind, of]) => itemOf(kind as 'tool' | 'prompt', of)),
    uri.map((of) => itemOf('resource', of)),
    fc
      .constantFrom(
        ...[
          'db://{x}/b',
          'db://{x}*',
          'db://x/%C3%A9{y}',
          '{+any}',
          'db://x/b',
          'db://x/{y}',
          '{s}://x/a',
          'HTTP://H/{x}',
          'db://x/{y}b',
          'db://{x}/x/b',
        ],
      )
      .map((template) => templateItem(template)!),
    fc.constant(anyToolThrough('call_tool', new Set(['call_tool']))),
  );
  const check = fc.property(mcpPolicies, callers, items, addresses, (policy, caller, item, address) => {
    const attributes = () => attributesOf(caller, { ...rpc('tools/list'), address });
    const found = usabilityOf(item, attributes(), policy);
    assert.equal(found, usabilityOf(item, attributes(), walkAll(policy)));
    seen.left += policy.rules.length - [...rulesOfItem(item, attributes(), policy.index)].length;
    seen[found] += 1;
  });
  fc.assert(check, { numRuns: 1000 });
  for (const [kind, count] of Object.entries(seen)) t.ok(count > 10, `${kind}: ${count}`);
  t.end();
});

t.test('a request of a path route is decided as by the plain walk', (t) => {
  let left = 0;
  const check = fc.property(pathPolicies, callers, pathRequests, (policy, caller, request) => {
    const attributes = () => attributesOf(caller, request);
    assert.deepStrictEqual(outcome(attributes(), policy), outcome(attributes(), walkAll(policy)));
    left += policy.rules.length - [...rulesOfCall(attributes(), policy.index)].length;
  });
  fc.assert(check, { numRuns: 1000 });
  t.ok(left > 100, `${left} rules were left out`);
  t.end();
});

t.test('of 1,000 rules a call looks at those that can match it: by name, glob, method, path and caller', (t) => {
  const numbered = (of: (index: number) => object) => Array.from({ length: 1000 }, (_, index) => of(index));
  const many = (of: (index: number) => object) => compile({ mcp: { rules: numbered(of) } });
  const byClient = many((index) => ({ allow: { tools: ['*'], clients: [`client-${index}`] } }));
  const byName = many((index) => ({ allow: { tools: [`tool_${index}`] } }));
  const tables: [string, Policy, Parameters<typeof attributesOf>[1]][] = [
    ['exact names', byName, call('tool_999')],
    ['beginnings', many((index) => ({ allow: { tools: [`tool_${index}_*`] } })), call('tool_999_x')],
    ['ends', many((index) => ({ allow: { tools: [`*_tool_${index}`] } })), call('x_tool_999')],
    ['methods', many((index) => ({ allow: { methods: [`vendor/${index}`] } })), rpc('vendor/999')],
    [
      'URIs with an encoded delimiter, as denies read them',
      many((index) => ({ deny: { resources: [`db://h${index}/(x)/*`] } })),
      rpc('resources/read', { uri: 'db://h999/%28x%29/' }),
    ],
    [
      'URIs, in another spelling',
      many((index) => ({ allow: { resources: [`http://h${index}/*`] } })),
      rpc('resources/read', { uri: 'http://h999' }),
    ],
    ['prompts', many((index) => ({ deny: { prompts: [`p${index}`] } })), rpc('prompts/get', { name: 'p999' })],
    [
      'paths',
      compile({ rules: numbered((index) => ({ allow: { methods: ['GET'], paths: [`/api/${index}/*`] } })) }),
      { method: 'GET', path: '/api/999/x' },
    ],
    ['clients', byClient, call('any')],
    [
      'claims, beside one that all rules name',
      many((index) => ({ allow: { methods: ['ping'], claims: { team: ['bi'], groups: [`g-${index}`] } } })),
      rpc('ping'),
    ],
    [
      'networks',
      many((index) => ({ allow: { tools: ['any'], networks: [`10.${index >> 8}.${index & 255}.0/24`] } })),
      { ...call('any'), address: '::ffff:10.3.231.1' },
    ],
  ];
  const caller = callerOf({ clientId: 'client-999', claims: { team: 'bi', groups: ['staff', 'g-999'] } }, []);
  for (const [sentence, policy, request] of tables) {
    t.same([...rulesOfCall(attributesOf(caller, request), policy.index)], [999], sentence);
  }
  const resources = many((index) => ({ allow: { resources: [`db://h${index}/*`, `x${index}:a`] } }));
  const items: [string, Policy, ListItem][] = [
    ['an item of a list', byName, itemOf('tool', 'tool_999')],
    ['a template', resources, templateItem('db://h999/{table}')!],
    ['a template of an end', resources, templateItem('x999{name}a')!],
    ['a tool that calls any other one', byClient, anyToolThrough('any')],
  ];
  for (const [sentence, policy, item] of items) {
    t.same([...rulesOfItem(item, attributesOf(caller, rpc('tools/list')), policy.index)], [999], sentence);
  }
  t.end();
});

t.test('the bits of an address begin with those of a range that holds it, and of no other', (t) => {
  const parts = ['192.0.2.1', '10.0.0.0', '0.0.0.0', '255.255.255.255', '::', '::1', '2001:db8::', 'fe80::1', '1::8'];
  const address = fc.oneof(
    fc.constantFrom(
      ...parts,
      '::ffff:10.0.0.1',
      '::ffff:a00:1',
      '64:ff9b::10.0.0.1',
      '1:2:3:4:5:6:1.2.3.4',
      'none',
      '',
    ),
    fc.ipV4(),
    fc.ipV6(),
  );
  const width = (of: string) => fc.nat(of.includes(':') ? 128 : 32).map((bits) => `${of}/${bits}`);
  const range = fc.oneof(
    fc.constantFrom(...parts),
    fc.oneof(fc.constantFrom(...parts), fc.ipV4(), fc.ipV6()).chain(width),
  );
  let held = 0;
  const check = fc.property(range, address, (within, of) => {
    const expected = compileNetworks([within])(of);
    assert.equal(addressBits(of)?.startsWith(rangeBits(within)) ?? false, expected);
    if (expected) held += 1;
  });
  fc.assert(check, { numRuns: 3000 });
  t.ok(held > 50, `${held} are held`);
  t.end();
});
