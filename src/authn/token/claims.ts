// Claims of an access token (RFC 9068 §4, RFC 7519 §4.1): issuer, audience, times, scopes, and the principal that they make. Pure.
import type { RefusalReason, StatedToken, VerificationContext } from '../authenticator.ts';
import type { Identity, Principal } from '../caller/principal.ts';
import { capScopes } from '../caller/scopes.ts';
import { parseConfirmation } from './binding/confirmation.ts';
import { type Claims, compileClaimPath, type ReadClaim } from './claim-path.ts';
import type { TokenConfig } from './token-config.ts';

/** The configuration of claims, compiled. */
export interface ClaimRules
  extends Pick<TokenConfig, 'issuer' | 'audienceForm' | 'scopesFrom' | 'requireClientId' | 'idTokens'> {
  readonly authenticator: string;
  /** Undefined: the resource of the route. */
  readonly audiences: readonly string[] | undefined;
  readonly scopeClaims: readonly ReadClaim[];
  readonly clientIdClaims: readonly ReadClaim[];
  /** Further claims, each with our name. */
  readonly claims: readonly (readonly [ours: string, read: ReadClaim])[];
  readonly requiredClaims: readonly (readonly [read: ReadClaim, values: readonly unknown[]])[];
  readonly maxScopes: ReadonlySet<string> | undefined;
  readonly clockToleranceSeconds: number;
  /** Claims that may be absent although a token would need them. */
  readonly optional: ReadonlySet<'iss' | 'exp'>;
}

export type ClaimsVerification =
  | { readonly principal: Principal }
  /** `identity`: whom the issuer names all the same. */
  | { readonly refused: RefusalReason; readonly identity?: Identity | undefined };

type Resource = Pick<VerificationContext, 'resource' | 'canonicalResource'>;

/** The end of the year 9999; anything later is a mistake. */
const maxNumericDate = 253_402_300_799;
const maxIdentifierLength = 512;
/** The lifetime of a token without `exp`: a stream that it opened ends then. */
const endlessTokenMs = 3_600_000;
/** RFC 6749 §3.3. */
const scopeToken = /^[\x21\x23-\x5b\x5d-\x7e]+$/;
const control = /\p{Cc}|[\u2028\u2029]/u;

/** Compiles the rules of an authenticator; `optional` claims may be absent. */
export function compileClaimRules(
  authenticator: string,
  config: TokenConfig,
  optional: readonly ('iss' | 'exp')[],
): ClaimRules {
  const { issuer, audience, audienceForm, scopesFrom, requireClientId, maxScopes, clockTolerance, idTokens } = config;
  return {
    issuer,
    ...(idTokens && { idTokens }),
    audienceForm,
    scopesFrom,
    requireClientId,
    authenticator,
    audiences: audience === undefined ? undefined : [audience].flat(),
    scopeClaims: config.scopeClaims.map(compileClaimPath),
    clientIdClaims: config.clientIdClaims.map(compileClaimPath),
    claims: Object.entries(config.claims).map(([ours, path]) => [ours, compileClaimPath(path)]),
    requiredClaims: Object.entries(config.requiredClaims).map(([path, values]) => [compileClaimPath(path), values]),
    maxScopes: maxScopes && new Set(maxScopes),
    clockToleranceSeconds: clockTolerance / 1000,
    optional: new Set(optional),
  };
}

/** Verifies claims for a resource at `nowMs`. Neither the signature nor the sender that `cnf` names is verified here. */
export function verifyClaims(claims: Claims, rules: ClaimRules, resource: Resource, nowMs: number): ClaimsVerification {
  if (claims.iss !== rules.issuer && !mayLack(claims, 'iss', rules)) return { refused: 'issuer' };
  const identity = identityOf(claims, rules);
  const refusal = refusalOf(claims, rules, resource, nowMs);
  if (refusal !== undefined) return { refused: refusal, identity };
  const scopes = scopesOf(claims, rules);
  if (identity === undefined || scopes === undefined || !isWholeIdentity(claims, rules)) {
    return { refused: 'claims', identity };
  }
  return {
    principal: principalOf(rules, identity, scopes, {
      issuedAt: claims.iat === undefined ? undefined : (claims.iat as number) * 1000,
      expiresAt: present(claims, 'exp') ? (claims.exp as number) * 1000 : nowMs + endlessTokenMs,
      confirmation: present(claims, 'cnf') ? parseConfirmation(claims.cnf) : undefined,
    }),
  };
}

function principalOf(
  { authenticator, maxScopes }: ClaimRules,
  identity: Identity,
  scopes: readonly string[],
  rest: Pick<Principal, 'confirmation' | 'expiresAt' | 'issuedAt'>,
): Principal {
  return { ...identity, authenticator, scopes: capScopes(scopes, maxScopes), ...rest };
}

/** The verification of a token that says this, for the resource and at the time of whoever asks. */
export function assumeClaims(stated: StatedToken, rules: ClaimRules): ClaimsVerification {
  const { claims, clientId, confirmation, credentialId, issuedAt, scopes, subject } = stated;
  const identity: Identity = { kind: 'oauth', issuer: rules.issuer, subject, clientId, credentialId, claims };
  if (rules.requireClientId && clientId === undefined) return { refused: 'claims', identity };
  return { principal: principalOf(rules, identity, scopes, { issuedAt, expiresAt: undefined, confirmation }) };
}

function refusalOf(claims: Claims, rules: ClaimRules, resource: Resource, nowMs: number): RefusalReason | undefined {
  if (!hasAudience(claims, rules, resource)) return 'audience';
  const time = verifyTimes(claims, rules, nowMs / 1000);
  if (time !== undefined) return time;
  if (present(claims, 'cnf') && parseConfirmation(claims.cnf) === undefined) return 'sender_constraint';
  if (!rules.requiredClaims.every(([read, values]) => isOneOf(read(claims), values))) return 'claims';
  if (rules.idTokens === true) return undefined;
  // OpenID Connect Core §3.1.3.6 and §3.3.2.11: only ID tokens have these.
  return present(claims, 'at_hash') || present(claims, 'c_hash') ? 'token_type' : undefined;
}

/** A list has each of its elements as a value. */
function isOneOf(claim: unknown, values: readonly unknown[]): boolean {
  return Array.isArray(claim) ? claim.some((each) => values.includes(each)) : values.includes(claim);
}

function mayLack(claims: Claims, name: 'iss' | 'exp', rules: ClaimRules): boolean {
  return rules.optional.has(name) && !present(claims, name);
}

/** True where a token may be accepted for one resource and not for another. */
export function dependsOnResource({ audiences, audienceForm }: ClaimRules): boolean {
  return audiences === undefined || audienceForm === 'clientId';
}

/** With `audienceForm: clientId` a token without `aud` is for its client; one with `aud` is for a resource. */
function hasAudience(claims: Claims, rules: ClaimRules, { resource, canonicalResource = resource }: Resource): boolean {
  const ofClients = rules.audienceForm === 'clientId';
  const forClient = ofClients && !present(claims, 'aud');
  const accepted: readonly unknown[] = (ofClients && !forClient ? undefined : rules.audiences) ?? [canonicalResource];
  const audience = forClient ? clientIdOf(claims, rules) : claims.aud;
  const named: readonly unknown[] = Array.isArray(audience) ? audience : [audience];
  return (
    named.every((each) => typeof each === 'string') &&
    named.some((each) => accepted.includes(each) || (each === resource && accepted.includes(canonicalResource)))
  );
}

/** The first that is present. */
function clientIdOf(claims: Claims, { clientIdClaims }: ClaimRules): unknown {
  for (const read of clientIdClaims) {
    const clientId = read(claims);
    if (clientId !== undefined) return clientId;
  }
  return undefined;
}

function verifyTimes(claims: Claims, rules: ClaimRules, now: number): RefusalReason | undefined {
  const { exp, nbf, iat } = claims;
  const tolerance = rules.clockToleranceSeconds;
  if (!mayLack(claims, 'exp', rules)) {
    if (!isNumericDate(exp)) return 'claims';
    if (now >= exp + tolerance) return 'expired';
  }
  for (const start of [nbf, iat]) {
    if (start === undefined) continue;
    if (!isNumericDate(start)) return 'claims';
    if (start > now + tolerance) return 'not_yet_valid';
  }
  return undefined;
}

/** The well-formed part of the identity that the claims name; undefined without a subject. */
function identityOf(claims: Claims, rules: ClaimRules): Identity | undefined {
  const clientId = clientIdOf(claims, rules);
  const { sub, jti } = claims;
  const subject = sub === undefined ? clientId : sub;
  if (!isIdentifier(subject)) return undefined;
  return {
    kind: 'oauth',
    issuer: rules.issuer,
    subject,
    clientId: isIdentifier(clientId) ? clientId : undefined,
    credentialId: isIdentifier(jti) ? jti : undefined,
    claims: furtherClaims(claims, rules),
  };
}

/** True where nothing of the identity was left out as malformed. */
function isWholeIdentity(claims: Claims, rules: ClaimRules): boolean {
  const clientId = clientIdOf(claims, rules);
  return isOptional(clientId) && isOptional(claims.jti) && !(rules.requireClientId && clientId === undefined);
}

/** The scopes of the scope claims; undefined when one that counts is malformed. Stray spaces, empty text and null name no scope. */
function scopesOf(claims: Claims, { scopeClaims, scopesFrom }: ClaimRules): string[] | undefined {
  const union = new Set<string>();
  const there = scopeClaims.map((read) => read(claims)).filter((value) => value !== undefined);
  for (const found of scopesFrom === 'first' ? there.slice(0, 1) : there) {
    const value = found ?? '';
    const list: unknown = typeof value === 'string' ? value.split(' ') : value;
    if (!Array.isArray(list)) return undefined;
    for (const entry of list) {
      const scope: unknown = typeof entry === 'string' ? entry.replace(/^ +|(?<! ) +$/g, '') : (entry ?? '');
      if (scope === '') continue;
      if (typeof scope !== 'string' || !scopeToken.test(scope)) return undefined;
      union.add(scope);
    }
  }
  return [...union];
}

function furtherClaims(claims: Claims, { claims: further }: ClaimRules): Readonly<Record<string, unknown>> {
  const found = further.map(([ours, read]) => [ours, read(claims)] as const);
  return Object.fromEntries(found.filter(([, value]) => value !== undefined));
}

function present(claims: Claims, name: string): boolean {
  return Object.hasOwn(claims, name);
}

function isNumericDate(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= maxNumericDate;
}

function isIdentifier(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    value.length > 0 &&
    value.length <= maxIdentifierLength &&
    value.isWellFormed() &&
    !control.test(value)
  );
}

function isOptional(value: unknown): boolean {
  return value === undefined || isIdentifier(value);
}
