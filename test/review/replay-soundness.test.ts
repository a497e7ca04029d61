// Soundness of replay: what it tells of a record that lacks facts is what `decide` says with all of them.
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import type { TokenAuthenticator, Verified } from '../../src/authn/authenticator.ts';
import { buildCaller } from '../../src/authn/caller/caller.ts';
import { lookThrough } from '../../src/mcp/meta-tools.ts';
import { readMessage } from '../../src/mcp/read-message.ts';
import { createEvaluation } from '../../src/policy/condition/evaluation.ts';
import { decide } from '../../src/policy/decide.ts';
import type { McpRuleConfig, Policy } from '../../src/policy/rule.ts';
import { openPolicyFile, type PolicyFile } from '../../src/review/policy-file.ts';
import { recordedDecision } from '../../src/review/replay/recorded-decision.ts';
import { createReplay } from '../../src/review/replay/replay.ts';
import { createReplayCounts } from '../../src/review/replay/replay-report.ts';
import { verdictKeys } from '../../src/review/replay/verdict-key.ts';
import { compile } from '../policy/scene.ts';
import { recordOf } from './recorded.ts';

const folder = t.testdir({
  'gateway.yaml': `
version: 1
server: {listen: 127.0.0.1:8443, publicUrl: http://127.0.0.1:8443}
authenticators:
  corp: {type: jwt, issuer: https://idp.example.com/, claims: {tenant: org_id, groups: roles, plan: plan}}
upstreams: {superset: {url: http://127.0.0.1:5008}}
routes: [{name: mcp, path: /mcp, upstream: superset, authenticate: corp, mcp: {preset: superset}}]
audit: {sinks: [{type: stdout}]}
`,
});
const file = await openPolicyFile(join(folder, 'gateway.yaml'), { env: {} });
t.teardown(() => file.close());
const [route] = file.snapshot.routes;
const corp = file.snapshot.authenticators.byName.get('corp') as TokenAuthenticator;

/** The policy file with another policy on its route. */
function withPolicy(policy: Policy): PolicyFile {
  const changed = { ...route!, policy };
  const snapshot = { ...file.snapshot, routes: [changed], match: () => ({ route: changed }) };
  return { ...file, snapshot };
}

const [policyCount, runs] = [40, 700];
const tools = ['execute_sql', 'list_charts', 'get_chart_data', 'call_tool'];
const scopes = ['a', 'b', 'c'];
const some = <T>(items: readonly T[]) => fc.subarray([...items], { minLength: 1 });
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 });
const condition = fc.constantFrom(
  'has(args.limit) && args.limit <= 10',
  'args.limit > 3',
  "tool == 'execute_sql' || args.limit == 1",
  "tool == 'list_charts' && args.limit == 1",
  "has(principal.claims.plan) && principal.claims.plan == 'gold'",
  "principal.claims.groups.exists(g, g == 'staff')",
  "'staff' in principal.claims.groups && has(args.limit)",
  "principal.claims.tenant == 'acme'",
  "args.list.all(x, x < 5) || principal.subject == 'alice'",
  'size(args) > 1',
  'args == {}',
  "principal.clientId == 'agent'",
  "request.address.startsWith('192.0.2.')",
);
const target = fc.oneof(
  fc.record({
    tools: fc.constantFrom(['*'], ['execute_sql', 'list_*'], ['get_chart_data'], ['execute_sql', 'call_tool']),
  }),
  fc.record({ tools: fc.constantFrom(['*'], ['execute_sql', 'get_*'], ['list_charts']) }),
  fc.record({ resources: some(['chart://*', 'chart://configs']) }),
  fc.record({ prompts: some(['quickstart', '*']) }),
  fc.record({ methods: some(['tools/list', 'tasks/*', 'resources/read', 'subscriptions/listen', 'initialize', '*']) }),
);
const selectors = fc
  .tuple(
    target,
    fc.record(
      {
        clients: some(['agent', 'frontend']),
        claims: fc.constantFrom({ tenant: ['acme'] }, { groups: ['staff'] }, { plan: ['gold'], tenant: ['acme'] }),
        networks: fc.constantFrom(['192.0.2.0/24'], ['10.0.0.0/8']),
        when: condition,
      },
      { requiredKeys: [] },
    ),
  )
  .map(([what, who]) => ({ ...what, ...who }));
const requirement = fc.record(
  {
    scopes: some(scopes),
    anyScope: some(scopes),
    senderConstrained: fc.boolean(),
    when: condition,
  },
  { requiredKeys: [] },
);
const rule = fc.oneof(
  { weight: 2, arbitrary: fc.record({ allow: selectors, require: requirement }) },
  { weight: 2, arbitrary: fc.record({ allow: selectors }) },
  { weight: 1, arbitrary: fc.record({ deny: selectors }) },
);
/** Compiled once: an expression of CEL takes as long as many decisions. */
const policies = fc.sample(
  fc
    .tuple(fc.array(rule, { maxLength: 5 }), fc.constantFrom([], [{ allow: { methods: ['*'] } }]))
    .map((parts) => parts.flat())
    .map((rules) =>
      compile(
        {
          mcp: {
            rules: rules as unknown as McpRuleConfig[],
            metaTools: { call_tool: { name: '/name', arguments: '/arguments' } },
          },
        },
        ['corp'],
      ),
    ),
  { numRuns: policyCount, seed: 14 },
);
/** By its place, so that a counterexample can be read. */
const policy = fc.nat({ max: policies.length - 1 });
const replays = policies.map((each) => createReplay(withPolicy(each)));

const args = fc.oneof(
  fc.constant({}),
  fc.record(
    {
      limit: fc.constantFrom(1, 3, 7, 50, 'x'),
      Limit: fc.constant(1),
      list: fc.array(fc.integer({ max: 9, min: 0 }), { maxLength: 3 }),
      '/x': fc.constant(1),
    },
    { requiredKeys: [] },
  ),
);
const inexact = fc.boolean();
const meta = maybe(fc.constant({ 'io.modelcontextprotocol/related-task': { taskId: 't1' } }));
const params = (more: fc.Arbitrary<object>) =>
  fc.tuple(more, meta).map(([own, _meta]) => ({ ...own, ...(_meta && { _meta }) }));
const message = fc
  .oneof(
    {
      weight: 6,
      arbitrary: fc.tuple(
        fc.constant('tools/call'),
        params(
          fc
            .tuple(fc.constantFrom(...tools.slice(0, 3)), maybe(args))
            .map(([name, given]) => ({ name, ...(given && { arguments: given }) })),
        ),
      ),
    },
    {
      weight: 3,
      arbitrary: fc.tuple(
        fc.constant('tools/call'),
        params(
          fc
            .tuple(fc.constantFrom(...tools.slice(0, 3)), maybe(args))
            .map(([name, given]) => ({ name: 'call_tool', arguments: { name, ...(given && { arguments: given }) } })),
        ),
      ),
    },
    {
      weight: 1,
      arbitrary: fc.tuple(
        fc.constantFrom('initialize', 'tools/list', 'ping', 'tasks/get'),
        params(fc.constantFrom({}, { cursor: 'x' }, { surprise: 1 })),
      ),
    },
    {
      weight: 1,
      arbitrary: fc.tuple(
        fc.constantFrom('resources/read', 'resources/subscribe'),
        params(fc.constantFrom({ uri: 'chart://configs' }, { uri: 'chart://a/../b' })),
      ),
    },
    {
      weight: 1,
      arbitrary: fc.tuple(
        fc.constant('prompts/get'),
        params(maybe(args).map((given) => ({ name: 'quickstart', ...(given && { arguments: given }) }))),
      ),
    },
    {
      weight: 1,
      arbitrary: fc.tuple(
        fc.constant('completion/complete'),
        params(
          fc.constantFrom(
            { ref: { type: 'ref/prompt', name: 'quickstart' } },
            { ref: { type: 'ref/resource', uri: 'chart://configs' } },
          ),
        ),
      ),
    },
    {
      weight: 1,
      arbitrary: fc.tuple(
        fc.constant('subscriptions/listen'),
        params(
          fc.constantFrom(
            {},
            { notifications: { resourceSubscriptions: ['chart://configs'], taskIds: ['t2'] } },
            { surprise: 1 },
          ),
        ),
      ),
    },
  )
  .chain(([method, given]) =>
    inexact.map((isInexact) => {
      const text = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: given });
      // Another reader takes it for another number.
      return readMessage(Buffer.from(isInexact ? text.replace('"limit":50', '"limit":12345678901234567890') : text));
    }),
  );

const caller = fc
  .record({
    clientId: fc.constantFrom('agent', 'frontend'),
    subject: fc.constantFrom('alice', 'bob'),
    scopes: fc.oneof(fc.constant(scopes), fc.subarray(scopes)),
    claims: fc.record(
      {
        tenant: fc.constantFrom('acme', 'other', 7),
        groups: fc.constantFrom(['staff'], [], 'staff'),
        plan: fc.constantFrom('gold', 'free'),
      },
      { requiredKeys: [] },
    ),
    binding: fc.constantFrom('none', 'certificate beside', 'certificate', 'dpop'),
  })
  .map(({ binding, ...stated }) => {
    const confirmation =
      binding === 'certificate'
        ? ({ method: 'certificate', fingerprint: 'sha256:00' } as const)
        : binding === 'dpop'
          ? ({ method: 'dpop', thumbprint: 'x' } as const)
          : undefined;
    const verified = corp.assume({ ...stated, confirmation, credentialId: 'jti', issuedAt: 0 }) as Verified;
    const beside = { fingerprint: 'sha256:00', until: undefined, verified: undefined };
    const hasCertificate = binding.startsWith('certificate');
    const kind = binding === 'dpop' ? ('dpop-token' as const) : ('access-token' as const);
    return {
      caller: buildCaller(route!.requirements, verified, hasCertificate ? beside : undefined),
      credentials: [
        ...(hasCertificate ? [{ kind: 'client-certificate' as const, id: 'sha256:00' }] : []),
        { kind, authenticator: 'corp', id: 'jti' },
      ],
    };
  });

const mode = fc.constantFrom('none' as const, 'digest' as const, 'full' as const, { execute_sql: ['/limit'] });

t.test(
  'very many distinct callers with long names: keys of verdicts stay short, and counts of lacking facts are bounded',
  (t) => {
    const keyOf = verdictKeys(file);
    const { record } = recordOf({ decision: { allow: true, rule: 'reader', requiredScopes: [] } });
    const long = { ...record, mcp: { method: 'tools/call', tool: 'x'.repeat(256) } };
    const keys = [record, long, { ...long, principal: { kind: 'oauth', clientId: 'y'.repeat(256) } }].map(
      (each) => keyOf(each, recordedDecision(each))!,
    );
    t.ok(
      keys.every((key) => key.length === 44),
      keys.join(),
    );
    t.equal(new Set(keys).size, 3);
    const counts = createReplayCounts(1);
    for (let caller = 0; caller < 300; caller++) {
      const then = { kind: 'refused', reason: `r${caller}` } as const;
      counts.add(record, { then, now: { kind: 'unknown', lacking: `refused then: r${caller}` } });
    }
    const { cannotBeTold, lacking, others } = counts.report();
    t.strictSame([cannotBeTold, Object.keys(lacking).length, lacking.others, others], [300, 101, 200, 299]);
    t.end();
  },
);

t.test('replay tells what decide says with all facts, or that it cannot be told', (t) => {
  const told = { allow: 0, deny: 0, unknown: 0 };
  fc.assert(
    fc.property(
      policy,
      policy,
      message,
      caller,
      mode,
      fc.constantFrom('192.0.2.7', '10.1.2.3'),
      (before, after, sent, who, audited, address) => {
        const decideBy = (policy: Policy) => {
          const message = lookThrough(sent, policy.metaTools);
          const attributes = {
            route: 'mcp',
            http: { method: 'POST', path: '/mcp' },
            client: { address },
            caller: who.caller,
            message,
            evaluation: createEvaluation(),
            now: 0,
          };
          return { message, decision: decide(attributes, policy) };
        };
        const then = decideBy(policies[before]!);
        const { record, line } = recordOf({
          ...who,
          address,
          message: then.message,
          decision: then.decision,
          arguments: audited,
        });
        const replay = replays[after]!;
        const { now } = replay(record, line);
        const { decision } = decideBy(policies[after]!);
        told[now!.kind] += 1;
        if (now!.kind !== 'unknown' && (now!.kind === 'allow') !== decision.allow) {
          throw new Error(`told ${JSON.stringify(now)}, and it is ${JSON.stringify(decision)}, of ${line}`);
        }
        if (JSON.stringify(replay(record, line).now) !== JSON.stringify(now))
          throw new Error('the second verdict differs');
      },
    ),
    { numRuns: runs, seed: 14 },
  );
  t.ok(Math.min(told.allow, told.deny, told.unknown) > runs / 20, `each verdict is given: ${JSON.stringify(told)}`);
  t.end();
});
