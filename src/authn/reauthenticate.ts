// Whether a caller who was authenticated before still would be, under another configuration: the token or key itself is gone by then.

import type { VerificationContext, Verified } from './authenticator.ts';
import { admit } from './caller.ts';
import { type JudgedCertificate, judgeCertificate } from './certificate/identify.ts';
import type { PeerCertificate } from './credential.ts';
import type { Caller, Principal } from './principal.ts';
import type { AuthenticatorSet } from './registry.ts';
import type { AuthenticatePlan } from './requirements.ts';
import { hasBoundCertificate } from './token/sender-constraint.ts';

export interface Standing {
  readonly authenticators: AuthenticatorSet;
  /** The resource identifier of the route. */
  readonly resource: string;
}

/**
 * Judges `caller`, who was authenticated under `before`, by what holds now. Undefined when it would be refused, when it would be somebody else,
 * or when its token's or key's verifier has changed in what it accepts: nothing is assumed of a credential that cannot be verified again.
 */
export function authenticateAgain(
  caller: Caller,
  before: Standing,
  now: Standing & { readonly plan: AuthenticatePlan; readonly peer: PeerCertificate | undefined },
  context: VerificationContext,
): Caller | undefined {
  const { plan, peer } = now;
  let certificate: JudgedCertificate | undefined;
  if (peer !== undefined) {
    const judged = judgeCertificate(peer, plan, now.authenticators, context);
    if ('refused' in judged) return undefined;
    certificate = judged;
  }
  const { principal } = caller;
  const token = principal.kind === 'mtls' ? undefined : verifyAgain(principal, before, now, context);
  if (principal.kind !== 'mtls' && token === undefined) return undefined;
  if (!hasBoundCertificate(principal, certificate) || !takesSameProofs(principal, before, now)) return undefined;
  try {
    const admitted = admit(plan, token, certificate);
    return isSame(admitted.principal, principal) ? admitted : undefined;
  } catch {
    return undefined;
  }
}

function verifyAgain(
  principal: Principal,
  before: Standing,
  now: Standing,
  context: VerificationContext,
): Verified | undefined {
  const verifier = now.authenticators.lasting.get(principal.authenticator);
  const basis = verifier?.basisOf(principal, now.resource);
  const earlier = before.authenticators.lasting.get(principal.authenticator)?.basisOf(principal, before.resource);
  if (verifier === undefined || basis === undefined || basis !== earlier) return undefined;
  const verification = verifier.verifyAgain(principal, context);
  return verification.verified ? verification : undefined;
}

/** The proof was for the request that began it; what is left to ask is whether such a proof would still do. */
function takesSameProofs({ authenticator, confirmation }: Principal, before: Standing, now: Standing): boolean {
  if (confirmation?.method !== 'dpop') return true;
  const verifier = now.authenticators.proofs.get(authenticator);
  return verifier !== undefined && verifier.basis === before.authenticators.proofs.get(authenticator)?.basis;
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
