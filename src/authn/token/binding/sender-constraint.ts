// Sender constraints of access tokens (RFC 8705 §3, RFC 9449 §7), verified on every request, also for a cached token.
import { type Refused, refused, type Verification, type Verified } from '../../authenticator.ts';
import { type Principal, subjectKey } from '../../caller/principal.ts';
import type { PresentedToken } from '../../credential.ts';
import { proofsOverloaded } from '../../errors.ts';
import type { ProofRequest, ProofVerifier } from './dpop.ts';

/** True for a principal whose credential is of no use to anybody else. */
export function isSenderConstrained({ kind, confirmation }: Principal): boolean {
  return kind === 'mtls' || confirmation !== undefined;
}

/** RFC 8705 §3: the certificate of the request must be the one that the token names. True for tokens that name none. */
export function hasBoundCertificate({ confirmation }: Principal, certificate: string | undefined): boolean {
  return confirmation?.method !== 'certificate' || confirmation.fingerprint === certificate;
}

/** The sender of a token or key without a proof: a token may be bound to its certificate, and not to a key (RFC 9449 §7.2). */
export function verifyBearer(verified: Verified, certificate: string | undefined): Verification {
  const { principal } = verified;
  return principal.confirmation?.method !== 'dpop' && hasBoundCertificate(principal, certificate)
    ? verified
    : notTheSender(verified);
}

/**
 * The sender of a token that came with the scheme DPoP: it must be bound to a key, and the proof must be of that key. `proofs` are the verifiers by the
 * name of the token's authenticator. Throws GatewayError `overloaded` when the proof cannot be remembered.
 */
export async function verifyDpop(
  verified: Verified,
  { token, proof }: PresentedToken,
  { method, url, now }: Pick<ProofRequest, 'method' | 'url' | 'now'>,
  proofs: ReadonlyMap<string, ProofVerifier>,
): Promise<Verification> {
  const { authenticator, confirmation } = verified.principal;
  const verifier = proofs.get(authenticator);
  if (confirmation?.method !== 'dpop' || verifier === undefined) return notTheSender(verified);
  const { thumbprint } = confirmation;
  const caller = subjectKey(verified.principal);
  const outcome = await verifier.verify({ proof, ath: token.digest, thumbprint, caller, method, url, now });
  if (!outcome.proven) {
    if (outcome.reason === 'full') throw proofsOverloaded();
    return { verified: false, reason: outcome.reason, nonce: outcome.nonce, principal: verified.principal };
  }
  if (outcome.nonce === undefined) return verified;
  return { ...verified, responseHeaders: { ...verified.responseHeaders, 'DPoP-Nonce': outcome.nonce } };
}

function notTheSender({ principal }: Verified): Refused {
  return refused('sender_constraint', principal);
}
