// Reauthentication of a caller whose stream goes on: its token or key is gone, and the configuration may be another one.
import type { KeyAuthenticator, TokenAuthenticator, VerificationContext, Verified } from '../authenticator.ts';
import { type ClientCertificate, identifyCertificate } from '../certificate/identify.ts';
import type { PeerCertificate } from '../credential.ts';
import type { AuthenticatorSet } from '../registry.ts';
import type { Requirements } from '../requirements.ts';
import { hasBoundCertificate } from '../token/binding/sender-constraint.ts';
import { buildCaller } from './caller.ts';
import type { Caller, Principal } from './principal.ts';

/** The part of a snapshot and a route that verifies a token or key. */
export interface VerifiedUnder {
  readonly authenticators: AuthenticatorSet;
  /** The resource identifier of the route. */
  readonly resource: string;
}

/**
 * Verifies `caller`, who was authenticated under `before`, by what holds now. Undefined when it would be refused, when it would be somebody else,
 * or when the configuration of its token's or key's authenticator has changed: a credential that cannot be verified again is not assumed to be good.
 */
export function reauthenticate(
  caller: Caller,
  before: VerifiedUnder,
  now: VerifiedUnder & { readonly requirements: Requirements; readonly peer: PeerCertificate | undefined },
  context: VerificationContext,
): Caller | undefined {
  const { authenticators, requirements, peer } = now;
  let certificate: ClientCertificate | undefined;
  if (peer !== undefined) {
    const credential = { kind: 'client-certificate', peer } as const;
    const identified = identifyCertificate(credential, requirements.certificates, authenticators.clientTrust, context);
    if ('refused' in identified) return undefined;
    certificate = identified;
  }
  const { principal } = caller;
  const tokenOrKey = principal.kind === 'mtls' ? undefined : reverify(principal, before, now, context);
  if (principal.kind !== 'mtls' && tokenOrKey === undefined) return undefined;
  if (!hasBoundCertificate(principal, certificate?.fingerprint)) return undefined;
  try {
    const rebuilt = buildCaller(requirements, tokenOrKey, certificate);
    return isSame(rebuilt.principal, principal) ? rebuilt : undefined;
  } catch {
    return undefined;
  }
}

function reverify(
  principal: Principal,
  before: VerifiedUnder,
  now: VerifiedUnder,
  context: VerificationContext,
): Verified | undefined {
  const authenticator = authenticatorOf(principal, now);
  const configuration = authenticator?.configurationOf(principal, now.resource);
  const earlier = authenticatorOf(principal, before)?.configurationOf(principal, before.resource);
  if (authenticator === undefined || configuration === undefined || configuration !== earlier) return undefined;
  const verification = authenticator.reverify(principal, context);
  return verification.verified ? verification : undefined;
}

function authenticatorOf(
  { authenticator }: Principal,
  { authenticators }: VerifiedUnder,
): TokenAuthenticator | KeyAuthenticator | undefined {
  const found = authenticators.byName.get(authenticator);
  return found?.accepts === 'client-certificate' ? undefined : found;
}

function isSame(one: Principal, other: Principal): boolean {
  return (
    one.kind === other.kind &&
    one.authenticator === other.authenticator &&
    one.issuer === other.issuer &&
    one.subject === other.subject &&
    one.clientId === other.clientId &&
    one.credentialId === other.credentialId
  );
}
