// Parts of audit records that requests of one caller share: encoded once, and telling nothing of another request.
import fc from 'fast-check';
import t from 'tap';
import type { Caller, Principal } from '../../src/authn/caller/principal.ts';
import { GatewayError } from '../../src/errors.ts';
import { completedEvent, decidedEvent } from '../../src/gateway/request/audit-events.ts';
import type { RequestContext } from '../../src/gateway/request/context.ts';
import type { Snapshot } from '../../src/gateway/snapshot.ts';
import type { Decision } from '../../src/policy/decision.ts';

const principals = ['one', 'other'].map(
  (subject): Principal => ({
    kind: 'oauth',
    authenticator: 'corp',
    issuer: 'https://idp.example',
    subject,
    clientId: 'agent',
    credentialId: 'j1',
    scopes: undefined,
    claims: {},
    issuedAt: undefined,
    expiresAt: undefined,
    confirmation: undefined,
  }),
);

const scopes = fc.subarray(['a', 'b', 'c']);
const decision: fc.Arbitrary<Decision> = fc.oneof(
  fc.record({ allow: fc.constant(true as const), rule: fc.constantFrom('r1', 'r2'), requiredScopes: scopes }),
  fc.record({
    allow: fc.constant(false as const),
    reason: fc.constant('insufficient_scope' as const),
    rule: fc.constantFrom('r1', undefined),
    requiredScopes: scopes,
    missingScopes: scopes,
  }),
);
const credential = fc.record({
  kind: fc.constantFrom('access-token' as const, 'client-certificate' as const),
  authenticator: fc.constantFrom('corp', undefined),
  id: fc.constantFrom('j1', 'j2', undefined),
});

/** Snapshot under which no record was encoded. */
function freshSnapshot(): Snapshot {
  return { hash: 'p', lastEncodings: new WeakMap() } as unknown as Snapshot;
}

/** Requests: few values each, so that the next request is often like the last one in nearly everything. */
const request: fc.Arbitrary<RequestContext> = fc
  .record({
    principal: fc.constantFrom(...principals, undefined),
    granted: scopes,
    credentials: fc.array(credential, { maxLength: 2 }),
    address: fc.constantFrom('192.0.2.1', '192.0.2.2'),
    userAgent: fc.constantFrom('agent/1', 'agent/2', undefined, 'ü"\ud800'),
    route: fc.constantFrom('mcp', 'api', undefined),
    path: fc.constantFrom('/mcp', '/api/1'),
    decision: fc.option(decision, { nil: undefined }),
    error: fc.constantFrom(undefined, undefined, new GatewayError('denied', 'no')),
  })
  .map(({ principal, granted, address, userAgent, route, error, decision, credentials, path }) => {
    const caller = principal && ({ principal, scopes: granted } as unknown as Caller);
    return {
      id: 'r',
      startedMs: 0,
      request: { headers: { 'user-agent': userAgent } },
      method: 'POST',
      clientAddress: address,
      route: route === undefined ? undefined : { name: route },
      bytes: 0,
      caller,
      credentials,
      path,
      decision,
      error,
    } as unknown as RequestContext;
  });

t.test('records are the same whether or not others came before them', (t) => {
  fc.assert(
    fc.property(fc.array(request, { minLength: 2, maxLength: 12 }), (requests) => {
      const snapshot = freshSnapshot();
      return requests.every((each) => {
        const fresh = completedEvent({ ...each, snapshot: freshSnapshot() }, 0, 200).encodedParts;
        const next = { ...each, snapshot };
        return completedEvent(next, 0, 200).encodedParts === fresh && decidedEvent(next, 0).encodedParts === fresh;
      });
    }),
    { numRuns: 300 },
  );
  t.end();
});

t.test('a request like the last one has the same text, from another address or by another rule its own', (t) => {
  const snapshot = freshSnapshot();
  const [principal] = principals;
  const like = (change: object): RequestContext =>
    ({
      id: 'r',
      request: { headers: { 'user-agent': 'agent/1' } },
      method: 'POST',
      path: '/mcp',
      clientAddress: '192.0.2.1',
      route: { name: 'mcp', upstream: { target: { name: 'superset' } } },
      snapshot,
      caller: { principal, scopes: ['a'] },
      credentials: [{ kind: 'access-token', authenticator: 'corp', id: 'j1' }],
      decision: { allow: true, rule: 'r1', requiredScopes: ['a'] },
      ...change,
    }) as unknown as RequestContext;
  const partsOf = (change: object) => decidedEvent(like(change), 0).encodedParts!;
  const first = partsOf({});
  t.equal(partsOf({}), first);
  t.match(first, '"client":{"address":"192.0.2.1","userAgent":"agent/1"}');
  t.match(first, '"rule":"r1"');
  t.match(partsOf({ clientAddress: '192.0.2.2' }), '"client":{"address":"192.0.2.2","userAgent":"agent/1"}');
  t.match(partsOf({ decision: { allow: true, rule: 'r2', requiredScopes: [] } }), '"required":[],"missing":[]');
  t.match(partsOf({ caller: { principal, scopes: ['a', 'b'] } }), '"granted":["a","b"]');
  t.equal(partsOf({}), first);
  t.end();
});
