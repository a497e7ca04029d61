// Whether a request comes from the one that its token is bound to. Asked on every request: a verified token may come out of a cache.
import type { JudgedCertificate } from './client-certificate.ts';
import type { Principal } from './principal.ts';

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
