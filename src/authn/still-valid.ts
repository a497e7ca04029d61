// Validity of a caller who was authenticated a while ago: expiry and revocation of its credentials, asked once more.
import type { CredentialRecord } from './credential.ts';
import { credentialRefused } from './errors.ts';
import type { Caller, PrincipalKind } from './principal.ts';
import type { Revocations } from './revocations.ts';

const credentialOf: Readonly<Record<PrincipalKind, CredentialRecord['kind']>> = {
  oauth: 'access-token',
  'api-key': 'api-key',
  mtls: 'client-certificate',
};

/** The facts of the second check. */
export interface ValidityContext {
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly revocations: Revocations;
  /** Milliseconds after its end for which a credential of this authenticator is accepted. */
  readonly clockTolerance: (authenticator: string) => number;
}

/** Throws the GatewayError of a credential that has expired or been revoked since. */
export function checkStillValid(caller: Caller, { now, revocations, clockTolerance }: ValidityContext): void {
  for (const principal of [caller.principal, caller.certificate]) {
    if (principal === undefined) continue;
    const kind = credentialOf[principal.kind];
    const end = (principal.expiresAt ?? Number.POSITIVE_INFINITY) + clockTolerance(principal.authenticator);
    if (now >= end) throw credentialRefused(kind, 'expired');
    const revokedBy = revocations.ofPrincipal(principal);
    if (revokedBy !== undefined) throw credentialRefused(kind, 'revoked', revokedBy);
  }
}
