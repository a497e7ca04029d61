// Sender constraints of access tokens (RFC 8705 §3, RFC 9449 §7), verified on every request: the verification of the token may be cached.
import { type Refused, refused, type Verification, type Verified } from '../authenticator.ts';
import type { PresentedKey, PresentedToken } from '../credential.ts';
import { proofsOverloaded } from '../errors.ts';
import type { Principal } from '../principal.ts';
import type { ProofVerifier } from './dpop.ts';

/** The evidence of one request for who sends it. */
export interface Sender {
  readonly credential: PresentedToken | PresentedKey;
  /** Fingerprint of the verified client certificate of the request. */
  readonly certificate: string | undefined;
  /** Verifiers of DPoP proofs by the name of the token's authenticator. */
  readonly proofs: ReadonlyMap<string, ProofVerifier>;
  readonly method: string;
  /** Public, without a query. */
  readonly url: string;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** True for a principal whose credential is of no use to anybody else. */
export function isSenderConstrained({ kind, confirmation }: Principal): boolean {
  return kind === 'mtls' || confirmation !== undefined;
}

/** RFC 8705 §3: the certificate of the request must be the one that the token names. True for tokens that name none. */
export function hasBoundCertificate({ confirmation }: Principal, certificate: string | undefined): boolean {
  return confirmation?.method !== 'certificate' || confirmation.fingerprint === certificate;
}

/**
 * Verifies that the sender of a verified token is the one that it is bound to; keys pass. A token that is bound to a key must come with the scheme DPoP
 * and a proof, and no other may (RFC 9449 §7.2). Throws GatewayError `overloaded` when the proof cannot be remembered.
 */
export async function verifySender(verified: Verified, sender: Sender): Promise<Verification> {
  const { credential, method, url, now } = sender;
  const { authenticator, confirmation } = verified.principal;
  if (confirmation?.method !== 'dpop' && credential.kind !== 'dpop-token') {
    return hasBoundCertificate(verified.principal, sender.certificate) ? verified : notTheSender(verified);
  }
  const proofs = sender.proofs.get(authenticator);
  if (confirmation?.method !== 'dpop' || credential.kind !== 'dpop-token' || proofs === undefined) {
    return notTheSender(verified);
  }
  const { token, proof } = credential;
  const outcome = await proofs.verify({
    proof,
    token: token.text,
    thumbprint: confirmation.thumbprint,
    method,
    url,
    now,
  });
  if (!outcome.proven) {
    if (outcome.reason === 'full') throw proofsOverloaded();
    return { verified: false, reason: outcome.reason, nonce: outcome.nonce, principal: verified.principal };
  }
  if (outcome.nonce === undefined) return verified;
  return { ...verified, responseHeaders: { ...verified.responseHeaders, 'DPoP-Nonce': outcome.nonce } };
}

function notTheSender({ principal }: Verified): Refused {
  return { ...refused('sender_constraint'), principal };
}
