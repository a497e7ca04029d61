// Authenticator of access tokens that their authorization server introspects (RFC 7662); its answer is verified like the claims of a JWT.
import { hash } from 'node:crypto';
import * as z from 'zod';
import { duration, httpUrl } from '../../config/schema/values.ts';
import { isPlainHttp, plainHttpRefused } from '../../http/host.ts';
import { callerNetwork } from '../../ip-ranges.ts';
import { authoritiesOf } from '../../oauth/authorities.ts';
import { checkOAuthClient, oauthClientKeys } from '../../oauth/client-auth.ts';
import { parseClientKey } from '../../oauth/client-key.ts';
import { createIntrospectionEndpoint, type IntrospectionEndpoint } from '../../oauth/introspection-client.ts';
import { refused, type TokenAuthenticator, type Verification, type VerificationContext } from '../authenticator.ts';
import type { AuthenticatorContext, AuthenticatorType } from '../authenticator-type.ts';
import { compileClaimRules, verifyClaims } from './claims.ts';
import type { AccessToken } from './compact-jws.ts';
import { createTokenAuthenticator } from './token-authenticator.ts';
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
      reporter.error([...path, 'endpoint'], plainHttpRefused);
    }
    checkTokenConfig(config, path, reporter);
    checkOAuthClient(config, path, reporter);
  },
  create: createIntrospectionAuthenticator,
} satisfies AuthenticatorType<IntrospectionConfig>;

/** The endpoint that is asked in this way. */
function endpointOf(name: string, config: IntrospectionConfig, context: AuthenticatorContext): IntrospectionEndpoint {
  const { endpoint, issuer, clientId, clientSecret, clientKeyFile, clientKeyId, clientAuthentication } = config;
  const pem = clientKeyFile && context.files.get(clientKeyFile)?.toString();
  const { egress, log, now, observe } = context;
  const authorities = authoritiesOf(config, context);
  const client = [clientId, clientSecret, pem, clientKeyId, clientAuthentication];
  const key = hash('sha256', JSON.stringify([name, endpoint, issuer, client, authorities, egress]), 'base64');
  return context.endpoint(key, () => {
    const clientKey = clientKeyFile === undefined ? undefined : context.files.parse(clientKeyFile, parseClientKey);
    return createIntrospectionEndpoint({ name, config, clientKey, authorities, egress, log, now, observe });
  });
}

/** RFC 6749 §7.1 and RFC 9449 §5, and what some servers say instead. */
const tokenTypes = new Set(['bearer', 'dpop', 'access_token']);
/** Where a server tells what its tokens are for; not a member of RFC 7662, but refresh tokens are introspected as well. */
const tokenUses = new Set(['access', 'access_token']);

function createIntrospectionAuthenticator(
  name: string,
  config: IntrospectionConfig,
  context: AuthenticatorContext,
): TokenAuthenticator {
  const endpoint = endpointOf(name, config, context);
  const rules = compileClaimRules(name, config, ['iss', 'exp']);

  async function verify({ text }: AccessToken, request: VerificationContext): Promise<Verification> {
    const { clientAddress, now } = request;
    const answer = await endpoint.introspect(text, callerNetwork(clientAddress));
    if (answer === undefined) return refused('inactive');
    const claims = verifyClaims(answer, rules, request, now);
    const identity = 'refused' in claims ? claims.identity : claims.principal;
    if (!isAccessToken(answer)) return refused('token_type', identity);
    if ('refused' in claims) return refused(claims.refused, identity);
    const { principal } = claims;
    if (isDpopType(answer) && principal.confirmation?.method !== 'dpop') return refused('sender_constraint', identity);
    const until = Math.min(principal.expiresAt ?? Number.POSITIVE_INFINITY, now + config.cacheFor);
    return { verified: true, principal, validity: { until } };
  }

  return createTokenAuthenticator({ name, config, rules, reloadable, takesOpaque: true, verify }, context);
}

/** The gateway's own authentication, and its cache. */
const reloadable = [
  ...(['insecure', 'cacheFor', 'clientSecret'] as const),
  ...(['clientKeyFile', 'clientKeyId', 'clientAuthentication'] as const),
];

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
