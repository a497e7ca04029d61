// Authenticator of access tokens that their authorization server introspects (RFC 7662); its answer is verified like the claims of a JWT.
import { hash } from 'node:crypto';
import { z } from 'zod';
import { duration, httpUrl } from '../../config/schema/values.ts';
import { isPlainHttp } from '../../http/host.ts';
import { checkOAuthClient, oauthClientKeys } from '../../oauth/client-auth.ts';
import { parseClientKey } from '../../oauth/client-key.ts';
import { createIntrospectionEndpoint, type IntrospectionEndpoint } from '../../oauth/introspection-client.ts';
import { refused, type TokenAuthenticator } from '../authenticator.ts';
import type { AuthenticatorContext, AuthenticatorType } from '../authenticator-type.ts';
import { compileClaimRules, dependsOnResource, verifyClaims } from './claims.ts';
import { createProofVerifier, type ProofVerifier } from './dpop.ts';
import { checkTokenConfig, tokenKeys } from './token-config.ts';

/** A token that is revoked at its authorization server is accepted for that long. */
const maxCacheMs = 3_600_000;

const schema = z.strictObject({
  type: z.literal('introspection').describe('Access tokens that only their authorization server can read (RFC 7662).'),
  endpoint: httpUrl.describe('The introspection endpoint.'),
  issuer: httpUrl.describe('Names the issuer of the tokens; an answer that has an `iss` must have this one.'),
  insecure: z.boolean().default(false).describe('Accept plain http for the endpoint beyond loopback.'),
  ...oauthClientKeys,
  cacheFor: duration
    .refine((ms) => ms <= maxCacheMs, 'expected at most 1h')
    .prefault('30s')
    .describe('How long an active token is not asked about again; never beyond its own end.'),
  ...tokenKeys,
});
type IntrospectionConfig = z.output<typeof schema>;

export const introspectionType = {
  schema,
  check(config, path, reporter) {
    if (!config.insecure && isPlainHttp(config.endpoint)) {
      reporter.error([...path, 'endpoint'], 'plain http is accepted on loopback only; use https, or insecure: true');
    }
    checkTokenConfig(config, path, reporter);
    checkOAuthClient(config, path, reporter);
  },
  create(name, config, context) {
    const proofs = createProofVerifier(config.dpop, context.proofMemory);
    return createIntrospectionAuthenticator(name, config, endpointOf(name, config, context), proofs);
  },
} satisfies AuthenticatorType<IntrospectionConfig>;

/** The endpoint that is asked in this way. */
function endpointOf(name: string, config: IntrospectionConfig, context: AuthenticatorContext): IntrospectionEndpoint {
  const { endpoint, issuer, clientId, clientSecret, clientKeyFile, clientKeyId, clientAuthentication } = config;
  const pem = clientKeyFile && context.files.get(clientKeyFile)?.toString();
  const asked = [name, endpoint, issuer, clientId, clientSecret, pem, clientKeyId, clientAuthentication];
  const key = hash('sha256', JSON.stringify(asked), 'base64');
  const { log, now, observe } = context;
  return context.endpoint(key, () => {
    const clientKey = clientKeyFile === undefined ? undefined : context.files.parse(clientKeyFile, parseClientKey);
    return createIntrospectionEndpoint({ name, config, clientKey, log, now, observe });
  });
}

/** RFC 6749 §7.1 and RFC 9449 §5, and what some servers say instead. */
const tokenTypes = new Set(['bearer', 'dpop', 'access_token']);
/** Where a server tells what its tokens are for; not a member of RFC 7662, but refresh tokens are introspected as well. */
const tokenUses = new Set(['access', 'access_token']);

function createIntrospectionAuthenticator(
  name: string,
  config: IntrospectionConfig,
  endpoint: IntrospectionEndpoint,
  proofs: ProofVerifier | undefined,
): TokenAuthenticator {
  const rules = compileClaimRules(name, config, ['iss', 'exp']);
  const configuration = configurationOf(config);
  return {
    name,
    accepts: 'access-token',
    issuer: config.issuer,
    takesOpaque: true,
    clockToleranceMs: config.clockTolerance,
    proofs,
    async verify({ text }, { resource, now }) {
      const answer = await endpoint.introspect(text);
      if (answer === undefined) return refused('inactive');
      if (!isAccessToken(answer)) return refused('token_type');
      const claims = verifyClaims(answer, rules, resource, now);
      if ('refused' in claims) return refused(claims.refused);
      const { principal } = claims;
      if (isDpopType(answer) && principal.confirmation?.method !== 'dpop') return refused('sender_constraint');
      const until = Math.min(principal.expiresAt ?? Number.POSITIVE_INFINITY, now + config.cacheFor);
      return { verified: true, principal, validity: { until } };
    },
    configurationOf: (_principal, resource) =>
      dependsOnResource(rules) ? `${configuration} ${resource}` : configuration,
    reverify: (principal) => ({ verified: true, principal }),
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

/** All keys that decide whether a token verifies and what it says; not how the gateway authenticates, and no secret. */
function configurationOf({ endpoint, clientId, ...config }: IntrospectionConfig): string {
  const { issuer, audience, audienceForm, scopeClaims, scopesFrom, clientIdClaims, requireClientId } = config;
  const { requiredClaims, claims, maxScopes } = config;
  const accepted = [issuer, audience, audienceForm, requireClientId, requiredClaims];
  return JSON.stringify([endpoint, clientId, accepted, scopeClaims, scopesFrom, clientIdClaims, claims, maxScopes]);
}
