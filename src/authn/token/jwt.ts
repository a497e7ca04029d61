// Verifies access tokens in JWT form (RFC 9068, RFC 8725) with the keys of their issuer.
import { compactVerify } from 'jose';
import type { JwtAuthenticatorConfig } from '../../config/schema/config.ts';
import type { LastingAuthenticator, RefusalReason, Verification, VerificationContext } from '../authenticator.ts';
import { claimRulesOf, dependsOnResource, judgeClaims } from './claims.ts';
import { type CompactToken, parseCompactToken } from './compact-jws.ts';
import type { VerificationKey } from './jwk.ts';
import type { KeySet } from './jwks.ts';
import type { TokenCache } from './token-cache.ts';

/** Headers that change what the rest means; none of them belongs on an access token. Keys or addresses in a header are never looked at. */
const refusedHeaders = ['crit', 'b64', 'zip', 'enc', 'cty'];
const maxKidLength = 256;
/** Among `tokenTypes`: a header without `typ`. No media type is spelt like this. */
const untyped = 'none';

interface TokenHeader {
  readonly algorithm: string;
  readonly kid: string | undefined;
}

/** Creates the verifier of one issuer's tokens. Verified ones go into `cache`. */
export function createJwtAuthenticator(
  name: string,
  config: JwtAuthenticatorConfig,
  keySet: KeySet,
  cache: TokenCache,
): LastingAuthenticator {
  const algorithms = new Set<string>(config.algorithms);
  const tokenTypes = new Set(config.tokenTypes.map((type) => (type === untyped ? untyped : mediaType(type))));
  const rules = claimRulesOf(name, config, []);
  const basis = basisOf(config);

  async function verifyToken(
    token: CompactToken,
    header: TokenHeader,
    context: VerificationContext,
  ): Promise<Verification> {
    const found = await keySet.resolve(header.kid, header.algorithm);
    if (found === undefined) return refused('unknown_key');
    if (!(await hasValidSignature(token.text, found.key, header.algorithm))) return refused('signature');
    const judgement = judgeClaims(token.claims, rules, context.resource, context.now);
    if ('refused' in judgement) return refused(judgement.refused);
    const verified = { verified: true, principal: judgement.principal } as const;
    const keys = { keySet, generation: found.generation };
    cache.set(token.text, context, verified, { until: judgement.principal.expiresAt!, keys });
    return verified;
  }

  return {
    name,
    kind: 'jwt',
    verify(credential, context) {
      const token = credential.kind === 'access-token' ? parseCompactToken(credential.token) : undefined;
      if (token === undefined) return refused('format');
      const header = judgeHeader(token.header, algorithms, tokenTypes);
      return typeof header === 'string' ? refused(header) : verifyToken(token, header, context);
    },
    basisOf: (_principal, resource) => (dependsOnResource(rules) ? `${basis} ${resource}` : basis),
    verifyAgain: (principal) => ({ verified: true, principal }),
  };
}

/** Everything that decides whether a token verifies and what it says; not how its keys are fetched, nor how its sender proves itself. */
function basisOf(config: JwtAuthenticatorConfig): string {
  const {
    keySet: _keySet,
    insecure: _insecure,
    clockTolerance: _tolerance,
    preset: _preset,
    dpop: _dpop,
    ...decisive
  } = config;
  return JSON.stringify(decisive);
}

function judgeHeader(
  header: CompactToken['header'],
  algorithms: ReadonlySet<string>,
  tokenTypes: ReadonlySet<string>,
): TokenHeader | RefusalReason {
  const { alg, typ, kid } = header;
  if (refusedHeaders.some((name) => Object.hasOwn(header, name))) return 'format';
  if (typeof alg !== 'string' || !algorithms.has(alg)) return 'algorithm';
  if (!isAccepted(typ, tokenTypes)) return 'token_type';
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > maxKidLength)) return 'format';
  return { algorithm: alg, kid };
}

function isAccepted(typ: unknown, tokenTypes: ReadonlySet<string>): boolean {
  if (typ === undefined) return tokenTypes.has(untyped);
  return typeof typ === 'string' && tokenTypes.has(mediaType(typ));
}

/** RFC 7515 §4.1.9: case does not matter, and `application/` may be left out where no other slash stands. */
function mediaType(typ: string): string {
  const lower = typ.toLowerCase();
  return lower.includes('/') ? lower : `application/${lower}`;
}

async function hasValidSignature(token: string, key: VerificationKey, algorithm: string): Promise<boolean> {
  try {
    await compactVerify(token, key.key, { algorithms: [algorithm] });
    return true;
  } catch {
    return false;
  }
}

function refused(reason: RefusalReason): Verification {
  return { verified: false, reason };
}
