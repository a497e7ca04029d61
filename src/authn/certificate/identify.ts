// Identification of a client certificate: its client, or only its trust where no authenticator accepts certificates.
import type {
  CertificateAuthenticator,
  RefusalReason,
  Refused,
  Verification,
  VerificationContext,
  Verified,
} from '../authenticator.ts';
import type { Identity } from '../caller/principal.ts';
import type { PresentedCertificate } from '../credential.ts';
import type { TrustStore } from './trust-store.ts';

/** A trusted client certificate. */
export interface ClientCertificate {
  /** `sha256:` and 64 hex digits: what a certificate-bound token names it by. */
  readonly fingerprint: string;
  /** The first instant at which it is not trusted any more. Milliseconds since 1970. */
  readonly until: number | undefined;
  /** Undefined where no mtls authenticator is configured: then it stands for nobody, and only proves the sender of a bound token. */
  readonly verified: Verified | undefined;
}

/** A certificate that is refused; what stands beside the reason is only there where its chain held. */
export interface RefusedCertificate {
  readonly refused: RefusalReason;
  readonly fingerprint: string | undefined;
  readonly principal: Identity | undefined;
}

/**
 * Identifies a certificate. With mtls authenticators it must be on the allowlist of one of them: the first that verifies it names the client, and
 * if none does, the one that came closest says why (`identity` is said of trusted certificates only). Without any it must be trusted all the
 * same: chain, dates and revocation, though RFC 8705 §6.2 would let a resource server do without.
 */
export function identifyCertificate(
  credential: PresentedCertificate,
  authenticators: readonly CertificateAuthenticator[],
  trust: TrustStore | undefined,
  context: VerificationContext,
): ClientCertificate | RefusedCertificate {
  if (authenticators.length === 0) {
    const trusted = trust?.evaluate(credential.peer, context.now);
    if (trusted?.trusted !== true) {
      return {
        refused: trusted?.reason ?? 'untrusted',
        fingerprint: trusted?.certificate?.fingerprint,
        principal: undefined,
      };
    }
    return { fingerprint: trusted.certificate.fingerprint, until: trusted.until, verified: undefined };
  }
  return identifyBy((authenticator) => authenticator.verify(credential, context), authenticators);
}

/** The same for at least one authenticator, by any verification. */
export function identifyBy(
  verify: (authenticator: CertificateAuthenticator) => Verification,
  authenticators: readonly CertificateAuthenticator[],
): ClientCertificate | RefusedCertificate {
  let refused: Refused | undefined;
  for (const authenticator of authenticators) {
    const verification = verify(authenticator);
    if (verification.verified) {
      const { principal, validity } = verification;
      return { fingerprint: principal.credentialId!, until: validity?.until, verified: verification };
    }
    if (refused === undefined || verification.reason === 'identity') refused = verification;
  }
  const principal = refused?.principal;
  return { refused: refused?.reason ?? 'unknown', fingerprint: principal?.credentialId, principal };
}
