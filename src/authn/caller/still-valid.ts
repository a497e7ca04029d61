// Second verification of a caller whose request has waited: expiry and revocation of its credentials.
import type { X509Certificate } from 'node:crypto';
import type { GatewayError } from '../../errors.ts';
import type { CredentialRecord } from '../credential.ts';
import { credentialRefused } from '../errors.ts';
import type { AuthenticatorIndex } from '../find-authenticator.ts';
import type { Caller, Principal, PrincipalKind } from './principal.ts';
import type { Revocations } from './revocations.ts';

const credentialKinds: Readonly<Record<PrincipalKind, CredentialRecord['kind']>> = {
  oauth: 'access-token',
  'api-key': 'api-key',
  mtls: 'client-certificate',
};

/** The facts of the second check. */
export interface ValidityContext {
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly revocations: Revocations;
  readonly authenticators: Pick<AuthenticatorIndex, 'byName'>;
  /** The client certificate of the request, whatever it proves, and that of its connection. */
  readonly certificates: readonly (X509Certificate | undefined)[];
}

/** Throws the GatewayError of a credential that has expired or been revoked since. */
export function checkStillValid(caller: Caller, context: ValidityContext): void {
  const { now, revocations, certificates } = context;
  for (const principal of [caller.principal, caller.certificate]) {
    if (principal === undefined) continue;
    const kind = credentialKinds[principal.kind];
    if (now >= endOf(principal, context)) throw credentialRefused(kind, 'expired');
    const revokedBy = revocations.ofPrincipal(principal);
    if (revokedBy !== undefined) throw credentialRefused(kind, 'revoked', revokedBy);
  }
  if (now >= (caller.certificateUntil ?? Number.POSITIVE_INFINITY))
    throw credentialRefused('client-certificate', 'expired');
  for (const certificate of certificates) {
    const revokedBy = certificate && revocations.ofCertificate(certificate);
    if (revokedBy !== undefined) throw credentialRefused('client-certificate', 'revoked', revokedBy);
  }
}

/** The refusal of credentials that a later configuration does not accept. */
export function credentialWithdrawn({ principal }: Caller): GatewayError {
  return credentialRefused(credentialKinds[principal.kind], 'not_accepted');
}

/** Tokens are accepted beyond their end for the tolerance between clocks; a certificate ends with its trust. */
function endOf({ kind, authenticator, expiresAt }: Principal, { authenticators }: ValidityContext): number {
  if (expiresAt === undefined || kind === 'mtls') return Number.POSITIVE_INFINITY;
  const found = authenticators.byName.get(authenticator);
  return expiresAt + (found?.accepts === 'access-token' ? found.clockToleranceMs : 0);
}
