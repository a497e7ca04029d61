// A presented client certificate: whose it is, or that it is trusted where no authenticator is there for certificates.
import type { RefusalReason, VerificationContext, Verified } from '../authenticator.ts';
import type { PeerCertificate } from '../credential.ts';
import type { AuthenticatorSet } from '../registry.ts';
import type { AuthenticatePlan } from '../requirements.ts';

export interface JudgedCertificate {
  /** `sha256:` and 64 hex digits: what a certificate-bound token names it by. */
  readonly fingerprint: string;
  /** The first instant at which it is not trusted any more. Milliseconds since 1970. */
  readonly until: number | undefined;
  /** Undefined where no mtls authenticator is configured: then it stands for nobody, and only proves who sends a bound token. */
  readonly verified: Verified | undefined;
}

export interface CertificateRefusal {
  readonly refused: RefusalReason;
  /** The verifier that is named in metrics. */
  readonly name: string | undefined;
}

/**
 * Judges a certificate. With mtls authenticators it must be on the allowlist of one of them: the first that verifies it names the client, and
 * if none does, the one that came closest says why (`identity` is said of trusted certificates only). Without any it must be trusted all the
 * same: chain, dates and revocation, though RFC 8705 §6.2 would let a resource server do without.
 */
export function judgeCertificate(
  peer: PeerCertificate,
  plan: AuthenticatePlan,
  authenticators: AuthenticatorSet,
  context: VerificationContext,
): JudgedCertificate | CertificateRefusal {
  if (plan.certificateVerifiers.length === 0) return judgeTrust(peer, authenticators, context);
  const credential = { kind: 'client-certificate', peer } as const;
  let reason: RefusalReason | undefined;
  for (const name of plan.certificateVerifiers) {
    const verification = authenticators.certificateVerifiers.get(name)?.verify(credential, context);
    if (verification?.verified) {
      return { fingerprint: verification.principal.credentialId!, until: verification.until, verified: verification };
    }
    if (verification !== undefined && (reason === undefined || verification.reason === 'identity')) {
      reason = verification.reason;
    }
  }
  return { refused: reason ?? 'unknown', name: plan.certificateVerifiers[0] };
}

function judgeTrust(
  peer: PeerCertificate,
  { clientTrust }: AuthenticatorSet,
  { now }: VerificationContext,
): JudgedCertificate | CertificateRefusal {
  const trust = clientTrust?.evaluate(peer, now);
  if (trust === undefined) return { refused: 'untrusted', name: undefined };
  if (!trust.trusted) return { refused: trust.reason, name: undefined };
  return { fingerprint: trust.certificate.fingerprint, until: trust.until, verified: undefined };
}
