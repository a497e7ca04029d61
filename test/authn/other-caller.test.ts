// Callers of tokens under another configuration: the owner of the token there, its acceptance, and what cannot be told.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { StatedToken, TokenAuthenticator } from '../../src/authn/authenticator.ts';
import { buildCaller } from '../../src/authn/caller/caller.ts';
import { otherCaller, Untold } from '../../src/authn/caller/other-caller.ts';
import { GatewayError } from '../../src/errors.ts';
import { requireRoute } from '../../src/http/route-matcher.ts';
import { openPolicyFile } from '../../src/review/policy-file.ts';
import { type Changes, type Configuration, configure, yamlOf } from '../support/configuration.ts';

const surroundings = { upstreamUrl: 'http://127.0.0.1:5008', issuer: 'https://idp.example.com/' };
const partner = {
  type: 'introspection',
  endpoint: 'https://partner.example/introspect',
  issuer: 'https://partner.example/',
  clientId: 'portcullis',
  clientSecret: 's',
};
const stated: StatedToken = {
  claims: {},
  clientId: 'ai_agent_prod',
  confirmation: undefined,
  credentialId: 'jti-1',
  issuedAt: undefined,
  subject: 'alice',
  scopes: ['a', 'b'],
};

/** A configuration whose MCP route takes tokens of these authenticators. */
const taking = (authenticators: Record<string, Configuration | undefined>, route: Configuration = {}): Changes => {
  const authenticate = { anyOf: ['keys', ...Object.keys(authenticators).filter((name) => authenticators[name])] };
  return { authenticators, routes: { '/mcp': { authenticate, ...route }, '/api/*': { authenticate } } };
};

async function outcomeOf(t: Test, live: Changes, next: Changes, owner: string, token = stated): Promise<string> {
  const folder = t.testdir();
  await writeFile(join(folder, 'next.yaml'), yamlOf(configure(surroundings, next)));
  await writeFile(join(folder, 'live.yaml'), yamlOf(configure(surroundings, live, { shadow: { file: 'next.yaml' } })));
  const policy = await openPolicyFile(join(folder, 'live.yaml'), { env: {} });
  const { authenticators, shadow } = policy.snapshot;
  const route = requireRoute(policy.snapshot.match('POST', '/mcp'));
  const other = requireRoute(shadow!.match('POST', '/mcp'));
  const verification = (authenticators.byName.get(owner) as TokenAuthenticator).assume(token);
  if (!verification.verified) throw new Error(verification.reason);
  const caller = buildCaller(route.requirements, verification, undefined);
  const context = { now: 0, clientAddress: '127.0.0.1', resource: route.resource };
  try {
    const { principal, scopes } = otherCaller(
      caller,
      undefined,
      { authenticators, resource: route.resource },
      other,
      context,
    );
    return `${principal.authenticator}: ${scopes.join(' ')}`;
  } catch (error) {
    if (error instanceof Untold) return `untold: ${error.reason}`;
    if (error instanceof GatewayError) return `${error.code}: ${error.reason}`;
    throw error;
  } finally {
    await policy.close();
  }
}

t.test('tokens that are no JWTs: whom the other route would ask', async (t) => {
  const live = taking({ partner });
  for (const [sentence, next, outcome] of [
    ['the same server', live, 'partner: a b'],
    ['under another name', taking({ other: partner }), 'other: a b'],
    ['another secret', taking({ partner: { ...partner, clientSecret: 'new' } }), 'partner: a b'],
    ['another endpoint', taking({ partner: { ...partner, endpoint: 'https://x.example/' } }), 'untold: authenticator'],
    ['another server', taking({ other: { ...partner, issuer: 'https://o.example/' } }), 'untold: authenticator'],
    ['nobody', taking({ corp: {} }), 'invalid_token: issuer'],
    ['nobody on this route', { ...live, routes: taking({}).routes! }, 'invalid_token: not_accepted'],
    ['keys of its issuer', taking({ p: { type: 'jwt', issuer: partner.issuer } }), 'untold: authenticator'],
    ['fewer scopes', taking({ partner: { ...partner, maxScopes: ['b'] } }), 'partner: b'],
  ] as const) {
    t.equal(await outcomeOf(t, live, next, 'partner'), outcome, sentence);
  }
});

t.test('JWTs: the audience, the binding, the resource', async (t) => {
  const live = taking({ corp: {} });
  const bound = { ...stated, confirmation: { method: 'dpop', thumbprint: 'x'.repeat(43) } } as const;
  for (const [sentence, next, outcome, token] of [
    ['the same', live, 'corp: a b', stated],
    [
      'another audience',
      taking({
        corp: { audience: ['https://x.example', 'https://mcp.example.com/mcp', 'https://mcp.example.com/api'] },
      }),
      'untold: authenticator',
      stated,
    ],
    [
      'another resource',
      { ...live, server: { publicUrl: 'https://new.example.com' } },
      'untold: authenticator',
      stated,
    ],
    [
      'only bound ones',
      taking({ corp: {} }, { senderConstraint: 'required', authenticate: 'corp' }),
      'invalid_token: sender_constraint',
      stated,
    ],
    ['a bound one', taking({ corp: {} }, { senderConstraint: 'required', authenticate: 'corp' }), 'corp: a b', bound],
    ['no bound ones', taking({ corp: { dpop: 'off' } }), 'invalid_token: sender_constraint', bound],
  ] as const) {
    t.equal(await outcomeOf(t, live, next, 'corp', token), outcome, sentence);
  }
});
