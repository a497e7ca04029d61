// Verifies access tokens by asking their authorization server (RFC 7662), and judges what it says as strictly as a token's own claims.
import type { IntrospectionAuthenticatorConfig } from '../../config/schema/config.ts';
import type { IntrospectionEndpoint } from '../../oauth/introspection-client.ts';
import type { LastingAuthenticator, RefusalReason, Verification, VerificationContext } from '../authenticator.ts';
import { claimRulesOf, dependsOnResource, judgeClaims } from './claims.ts';
import type { TokenCache } from './token-cache.ts';

/** RFC 6749 §7.1 and RFC 9449 §5, and what some servers say instead. */
const tokenTypes = new Set(['bearer', 'dpop', 'access_token']);
/** Where a server tells what its tokens are for; not a member of RFC 7662, but refresh tokens are introspected as well. */
const tokenUses = new Set(['access', 'access_token']);

/** Creates the verifier of one authorization server's tokens. Verified ones go into `cache` for `cacheFor` at most. */
export function createIntrospectionAuthenticator(
  name: string,
  config: IntrospectionAuthenticatorConfig,
  endpoint: IntrospectionEndpoint,
  cache: TokenCache,
): LastingAuthenticator {
  const rules = claimRulesOf(name, config, ['iss', 'exp']);
  const basis = basisOf(config);

  async function verifyToken(token: string, context: VerificationContext): Promise<Verification> {
    const answer = await endpoint.introspect(token);
    if (answer === undefined) return refused('inactive');
    if (!isAccessToken(answer)) return refused('token_type');
    const judgement = judgeClaims(answer, rules, context.resource, context.now);
    if ('refused' in judgement) return refused(judgement.refused);
    const { principal } = judgement;
    if (isDpopType(answer) && principal.confirmation?.method !== 'dpop') return refused('sender_constraint');
    const verified = { verified: true, principal } as const;
    const until = Math.min(principal.expiresAt ?? Number.POSITIVE_INFINITY, context.now + config.cacheFor);
    if (until > context.now) cache.set(token, context, verified, { until });
    return verified;
  }

  return {
    name,
    kind: 'introspection',
    verify: (credential, context) =>
      credential.kind === 'access-token' ? verifyToken(credential.token, context) : refused('format'),
    basisOf: (_principal, resource) => (dependsOnResource(rules) ? `${basis} ${resource}` : basis),
    verifyAgain: (principal) => ({ verified: true, principal }),
  };
}

function isAccessToken({ token_type: type, token_use: use }: Readonly<Record<string, unknown>>): boolean {
  return isAmong(type, tokenTypes) && isAmong(use, tokenUses);
}

/** Such a token is bound, so that an answer which does not say to what is not one to go by. */
function isDpopType({ token_type: type }: Readonly<Record<string, unknown>>): boolean {
  return typeof type === 'string' && type.toLowerCase() === 'dpop';
}

function isAmong(value: unknown, words: ReadonlySet<string>): boolean {
  return value === undefined || (typeof value === 'string' && words.has(value.toLowerCase()));
}

/** Everything that decides whether a token verifies and what it says; not how the gateway authenticates, and no secret. */
function basisOf({ endpoint, clientId, ...config }: IntrospectionAuthenticatorConfig): string {
  const { issuer, audience, audienceForm, scopeClaims, scopesFrom, clientIdClaims, requireClientId } = config;
  const { requiredClaims, claims, maxScopes } = config;
  const accepted = [issuer, audience, audienceForm, requireClientId, requiredClaims];
  return JSON.stringify([endpoint, clientId, accepted, scopeClaims, scopesFrom, clientIdClaims, claims, maxScopes]);
}

function refused(reason: RefusalReason): Verification {
  return { verified: false, reason };
}
