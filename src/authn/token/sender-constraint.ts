// Whether a request comes from the one that its token is bound to. Asked on every request: a verified token may come out of a cache.
import type { Verification, Verified } from '../authenticator.ts';
import type { JudgedCertificate } from '../certificate/identify.ts';
import type { Credential } from '../credential.ts';
import { proofsOverloaded } from '../errors.ts';
import type { Principal } from '../principal.ts';
import type { ProofJudgement, ProofVerifier } from './dpop.ts';

/** What a request tells of its sender besides its token. */
export interface Sender {
  readonly credential: Credential;
  /** The one of this connection that counts. */
  readonly certificate: JudgedCertificate | undefined;
  readonly proofs: ReadonlyMap<string, ProofVerifier>;
  readonly method: string;
  /** Public, without a query. */
  readonly url: string;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** Whether nobody else could use what this principal came with. */
export function isSenderConstrained({ kind, confirmation }: Principal): boolean {
  return kind === 'mtls' || confirmation !== undefined;
}

/** RFC 8705 §3: the certificate of this connection must be the one that the token names. True for tokens that name none. */
export function hasBoundCertificate(
  { confirmation }: Principal,
  certificate: Pick<JudgedCertificate, 'fingerprint'> | undefined,
): boolean {
  return confirmation?.method !== 'certificate' || confirmation.fingerprint === certificate?.fingerprint;
}

/**
 * Holds a verified token against its sender; keys and certificates pass. A token that is bound to a key must come with the scheme DPoP and a
 * proof, and nothing else may (RFC 9449 §7.2). Throws GatewayError `overloaded` when the proof cannot be remembered.
 */
export function verifySender(verified: Verified, sender: Sender): Verification | Promise<Verification> {
  const { credential } = sender;
  const { authenticator, confirmation } = verified.principal;
  const boundToKey = confirmation?.method === 'dpop';
  if (boundToKey !== (credential.kind === 'dpop-token')) return notTheSender(verified);
  if (!boundToKey || credential.kind !== 'dpop-token') {
    return hasBoundCertificate(verified.principal, sender.certificate) ? verified : notTheSender(verified);
  }
  const verifier = sender.proofs.get(authenticator);
  if (verifier === undefined) return notTheSender(verified);
  const { token, proof } = credential;
  const { method, url, now } = sender;
  const judged = verifier.verify({ proof, token, thumbprint: confirmation.thumbprint, method, url, now });
  return judged instanceof Promise
    ? judged.then((judgement) => verificationOf(judgement, verified))
    : verificationOf(judged, verified);
}

function notTheSender({ principal }: Verified): Verification {
  return { verified: false, reason: 'sender_constraint', whose: principal };
}

function verificationOf(judgement: ProofJudgement, verified: Verified): Verification {
  const { nonce } = judgement;
  if (judgement.proven) {
    if (nonce === undefined) return verified;
    return { ...verified, responseHeaders: { ...verified.responseHeaders, 'DPoP-Nonce': nonce } };
  }
  if (judgement.reason === 'full') throw proofsOverloaded();
  return { verified: false, reason: judgement.reason, nonce, whose: verified.principal };
}
