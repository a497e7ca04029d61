// Authenticator of access tokens in JWT form (RFC 9068, RFC 8725), verified with the keys of their issuer.
import * as z from 'zod';
import type { Path, SectionReporter } from '../../config/schema/reporter.ts';
import { duration, httpUrl, text, timeout } from '../../config/schema/values.ts';
import { isPlainHttp, plainHttpRefused } from '../../http/host.ts';
import { authoritiesOf } from '../../oauth/authorities.ts';
import {
  type RefusalReason,
  refused,
  type TokenAuthenticator,
  type Verification,
  type VerificationContext,
} from '../authenticator.ts';
import type { AuthenticatorContext, AuthenticatorType } from '../authenticator-type.ts';
import { compileClaimRules, verifyClaims } from './claims.ts';
import { type AccessToken, type CompactJws, hasForbiddenHeader, isSignedBy } from './compact-jws.ts';
import { issuerPresetNames, issuerPresets } from './issuer-presets.ts';
import { signatureAlgorithm } from './jwk.ts';
import { createKeySet, type KeySet } from './jwks.ts';
import { createTokenAuthenticator } from './token-authenticator.ts';
import { checkTokenConfig, tokenKeys } from './token-config.ts';

const schema = z.strictObject({
  type: z.literal('jwt').describe('OAuth 2.1 access tokens in JWT form, verified with the keys of their issuer.'),
  preset: z
    .enum(issuerPresetNames)
    .optional()
    .describe('Defaults for the tokens of a well-known authorization server; keys that are written override them.'),
  issuer: httpUrl.describe('The exact `iss` of the tokens, byte for byte.'),
  insecure: z.boolean().default(false).describe('Accept plain http for issuer and keys beyond loopback.'),
  jwksUri: httpUrl.optional().describe("Where the issuer's keys are; default: discovered from the issuer."),
  algorithms: z
    .array(signatureAlgorithm)
    .min(1)
    .default(['RS256', 'PS256', 'ES256', 'EdDSA'])
    .describe('Accepted signature algorithms.'),
  tokenTypes: z
    .array(text)
    .min(1)
    .default(['at+jwt'])
    .describe('Accepted `typ` values, `application/` apart; `none` for tokens without one.'),
  ...tokenKeys,
  keySet: z
    .strictObject({
      refresh: timeout.prefault('10m').describe('How often the keys are fetched anew.'),
      maxStale: duration.prefault('24h').describe('How long old keys serve while the issuer cannot be reached.'),
    })
    .prefault({})
    .describe("The issuer's key set."),
});
type JwtConfig = z.output<typeof schema>;

export const jwtType = {
  schema,
  check(config, path, reporter) {
    checkTokenConfig(config, path, reporter);
    checkIssuer(config, path, reporter);
    if (config.keySet.maxStale < config.keySet.refresh) {
      reporter.error([...path, 'keySet', 'maxStale'], 'must not be shorter than refresh');
    }
  },
  create(name, config, context) {
    const metadataWanted = config.issuer === context.mirroredIssuer;
    const authorities = authoritiesOf(config, context);
    const key = keySetKey(config, metadataWanted, [authorities, context.egress]);
    const keySet = context.keySet(key, () => openKeySet(config, metadataWanted, authorities, context));
    return createJwtAuthenticator(name, config, keySet, context);
  },
} satisfies AuthenticatorType<JwtConfig>;

const maxKidLength = 256;
/** Among `tokenTypes`: a header without `typ`. It is no media type. */
const untyped = 'none';

interface TokenHeader {
  readonly algorithm: string;
  readonly kid: string | undefined;
}

function checkIssuer(config: JwtConfig, path: Path, reporter: SectionReporter): void {
  for (const key of ['issuer', 'jwksUri'] as const) {
    const url = config[key];
    if (url !== undefined && !config.insecure && isPlainHttp(url)) {
      reporter.error([...path, key], plainHttpRefused);
    }
  }
  const preset = config.preset && issuerPresets[config.preset];
  if (preset !== undefined && !preset.issuerForm.test(config.issuer)) {
    reporter.warn([...path, 'issuer'], `does not look like one of preset ${config.preset}: ${preset.issuerExample}`);
  }
}

/** Equal for configurations that can share one key set. */
function keySetKey(config: JwtConfig, metadataWanted: boolean, connections: readonly unknown[]): string {
  const { issuer, jwksUri, insecure, keySet } = config;
  const asked = [issuer, jwksUri, insecure, jwksUri !== undefined && metadataWanted, ...connections];
  return JSON.stringify([...asked, keySet.refresh, keySet.maxStale]);
}

function openKeySet(
  { issuer, jwksUri, insecure, keySet: { refresh: refreshMs, maxStale: maxStaleMs } }: JwtConfig,
  metadataWanted: boolean,
  authorities: readonly string[] | undefined,
  { egress, log, now, observe, schedule }: AuthenticatorContext,
): KeySet {
  return createKeySet({
    authorities,
    egress,
    issuer,
    jwksUri,
    insecure,
    metadataWanted,
    refreshMs,
    maxStaleMs,
    log,
    now,
    observe,
    schedule,
  });
}

function createJwtAuthenticator(
  name: string,
  config: JwtConfig,
  keySet: KeySet,
  context: AuthenticatorContext,
): TokenAuthenticator {
  const verifyHeader = compileHeaderRules(config);
  const rules = compileClaimRules(name, config, []);

  /** Header, then signature, then claims: nothing that is unsigned is believed. */
  async function verify(token: AccessToken, request: VerificationContext): Promise<Verification> {
    const { now } = request;
    const jws = token.jws();
    if (jws === undefined) return refused('format');
    const header = verifyHeader(jws.header);
    if (typeof header === 'string') return refused(header);
    const found = await keySet.resolve(header.kid, header.algorithm);
    if (found === undefined) return refused('unknown_key');
    if (!(await isSignedBy(jws, found.key.key, header.algorithm))) return refused('signature');
    const claims = verifyClaims(jws.claims, rules, request, now);
    if ('refused' in claims) return refused(claims.refused, claims.identity);
    const isCurrent = () => keySet.generation() === found.generation;
    return { verified: true, principal: claims.principal, validity: { until: claims.principal.expiresAt!, isCurrent } };
  }

  const reloadable = ['keySet', 'insecure', 'preset'] as const;
  return createTokenAuthenticator({ name, config, rules, reloadable, takesOpaque: false, verify }, context);
}

/** Compiles the verification of headers: the algorithm and key of the signature, or the reason of a refusal. */
export function compileHeaderRules(
  config: Pick<JwtConfig, 'algorithms' | 'tokenTypes'>,
): (header: CompactJws['header']) => TokenHeader | RefusalReason {
  const algorithms = new Set<string>(config.algorithms);
  const tokenTypes = new Set(config.tokenTypes.map((type) => (type === untyped ? untyped : mediaType(type))));
  return (header) => {
    const { alg, typ, kid } = header;
    if (hasForbiddenHeader(header)) return 'format';
    if (typeof alg !== 'string' || !algorithms.has(alg)) return 'algorithm';
    if (!isAccepted(typ, tokenTypes)) return 'token_type';
    if (kid !== undefined && (typeof kid !== 'string' || kid.length > maxKidLength)) return 'format';
    return { algorithm: alg, kid };
  };
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
