// Caller of a request under another configuration, made of its verified credentials: the token or key itself is gone.
import type { KeyAuthenticator, TokenAuthenticator, VerificationContext, Verified } from '../authenticator.ts';
import { type ClientCertificate, identifyCertificate } from '../certificate/identify.ts';
import type { PeerCertificate } from '../credential.ts';
import { credentialRefused } from '../errors.ts';
import type { Requirements } from '../requirements.ts';
import { buildCaller } from './caller.ts';
import type { Caller, Principal } from './principal.ts';
import type { VerifiedUnder } from './reauthenticate.ts';
import { capScopes } from './scopes.ts';

/** Unknown facts that an outcome under another configuration hangs on: a closed list, for a metric label. */
export type UntoldReason = 'authenticator' | 'scopes' | 'certificate' | 'credentials' | 'message';

/** The outcome cannot be told. */
export class Untold extends Error {
  readonly reason: UntoldReason;

  constructor(reason: UntoldReason) {
    super(`it hangs on the ${reason}`);
    this.reason = reason;
  }
}

/** A route of the other configuration. */
export interface OtherRoute extends VerifiedUnder {
  readonly requirements: Requirements;
  /** The principals of tokens that were verified before, as this route sees them. */
  readonly tokens: WeakMap<Principal, Verified>;
}

/**
 * The caller that the credentials of `caller`, verified under `live`, make on a route of another configuration. Throws the GatewayError that refuses
 * them there, and Untold where that hangs on what only the credential says. Neither asks an issuer nor verifies a signature.
 */
export function otherCaller(
  { principal }: Caller,
  peer: PeerCertificate | undefined,
  live: VerifiedUnder,
  other: OtherRoute,
  context: VerificationContext,
): Caller {
  const certificate = peer && certificateUnder(peer, other, context);
  const authenticator = live.authenticators.byName.get(principal.authenticator);
  if (authenticator === undefined || authenticator.accepts === 'client-certificate') {
    return buildCaller(other.requirements, undefined, certificate);
  }
  const tokenOrKey =
    authenticator.accepts === 'api-key'
      ? keyUnder(principal, authenticator, other, context)
      : tokenUnder(principal, authenticator, live.resource, other);
  return buildCaller(other.requirements, tokenOrKey, certificate);
}

function certificateUnder(
  peer: PeerCertificate,
  { authenticators, requirements }: OtherRoute,
  context: VerificationContext,
): ClientCertificate {
  const credential = { kind: 'client-certificate', peer } as const;
  const identified = identifyCertificate(credential, requirements.certificates, authenticators.clientTrust, context);
  if ('refused' in identified) throw credentialRefused('client-certificate', identified.refused);
  return identified;
}

/** The owner of a key is found by its prefix, of which the key has at least that of `live`. */
function keyUnder(
  principal: Principal,
  live: KeyAuthenticator,
  { authenticators, requirements }: OtherRoute,
  context: VerificationContext,
): Verified {
  const owners = authenticators.keys.byPrefix.filter(
    ({ prefix }) => prefix.startsWith(live.prefix) || live.prefix.startsWith(prefix),
  );
  const [owner] = owners;
  if (owner === undefined && requirements.opaque === undefined) throw credentialRefused('access-token', 'unknown');
  const digest = live.digestOf(principal);
  const isSame = owners.length === 1 && owner!.prefix === live.prefix && owner!.header === live.header;
  if (!isSame || digest === undefined) throw new Untold('authenticator');
  const verification = owner!.verifyDigest(digest, context);
  if (!verification.verified) throw credentialRefused('api-key', verification.reason);
  return verification;
}

function tokenUnder(principal: Principal, live: TokenAuthenticator, resource: string, other: OtherRoute): Verified {
  let verified = other.tokens.get(principal);
  if (verified === undefined) {
    const owner = ownerOf(live, other);
    const acceptance = owner.acceptanceOf(principal, other.resource);
    if (acceptance === undefined) throw credentialRefused('dpop-token', 'sender_constraint');
    if (acceptance !== live.acceptanceOf(principal, resource)) throw new Untold('authenticator');
    const scopes = principal.scopes && recapScopes(principal.scopes, live.maxScopes, owner.maxScopes);
    verified = { verified: true, principal: { ...principal, authenticator: owner.name, scopes } };
    other.tokens.set(principal, verified);
  }
  return verified;
}

/** By its issuer; a token that is no JWT has that of the route. */
function ownerOf({ issuer, takesOpaque }: TokenAuthenticator, { authenticators, requirements }: OtherRoute) {
  const { named, opaque } = requirements;
  const owner = authenticators.byIssuer.get(issuer);
  const isNamed = owner !== undefined && named.has(owner.name);
  if (takesOpaque && opaque !== (isNamed ? owner : undefined)) throw new Untold('authenticator');
  if (!isNamed) throw credentialRefused('access-token', owner === undefined ? 'issuer' : 'not_accepted');
  return owner;
}

/** A token may have had scopes that the cap in force took from it. */
function recapScopes(
  scopes: readonly string[],
  cap: ReadonlySet<string> | undefined,
  other: ReadonlySet<string> | undefined,
): readonly string[] {
  if (cap !== undefined && (other === undefined || [...other].some((scope) => !cap.has(scope))))
    throw new Untold('scopes');
  return capScopes(scopes, other);
}
