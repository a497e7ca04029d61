// Callers: verified credentials that together are what a route requires. Pure.
import { GatewayError } from '../../errors.ts';
import type { Verified } from '../authenticator.ts';
import type { ClientCertificate } from '../certificate/identify.ts';
import { credentialRefused, senderUnbound } from '../errors.ts';
import type { Requirements } from '../requirements.ts';
import { isSenderConstrained } from '../token/binding/sender-constraint.ts';
import { type AuthMethod, type Caller, clientKey, subjectKey } from './principal.ts';
import { intersectScopes } from './scopes.ts';

/** The first instant at which one of the caller's credentials has expired, in milliseconds since 1970; Infinity where none expires. */
export function expiryOf(caller: Caller | undefined): number {
  const never = Number.POSITIVE_INFINITY;
  if (caller === undefined) return never;
  const { principal, certificate, certificateUntil } = caller;
  return Math.min(principal.expiresAt ?? never, certificate?.expiresAt ?? never, certificateUntil ?? never);
}

/**
 * Builds the caller of verified credentials: named by the route, sufficient for it, bound where it requires that, and of one client. Throws
 * GatewayError: 401 `credentials_required`, `invalid_token` or `invalid_api_key`, 403 `denied` when the certificate is another client's.
 */
export function buildCaller(
  requirements: Requirements,
  tokenOrKey: Verified | undefined,
  clientCertificate: ClientCertificate | undefined,
): Caller {
  if (tokenOrKey === undefined || clientCertificate !== undefined) {
    return combine(requirements, tokenOrKey, clientCertificate);
  }
  let caller = requirements.callers.get(tokenOrKey);
  if (caller === undefined) {
    caller = combine(requirements, tokenOrKey, undefined);
    requirements.callers.set(tokenOrKey, caller);
  }
  return caller;
}

function combine(
  requirements: Requirements,
  tokenOrKey: Verified | undefined,
  clientCertificate: ClientCertificate | undefined,
): Caller {
  const certificate = clientCertificate?.verified;
  const authenticatedBy = [tokenOrKey, certificate].flatMap((each) => each?.principal.authenticator ?? []);
  if (tokenOrKey !== undefined && !requirements.named.has(tokenOrKey.principal.authenticator)) {
    throw credentialRefused(tokenOrKey.principal.kind === 'api-key' ? 'api-key' : 'access-token', 'not_accepted');
  }
  const principal = tokenOrKey?.principal ?? certificate?.principal;
  const satisfied = requirements.alternatives.some((members) =>
    members.every((name) => authenticatedBy.includes(name)),
  );
  if (principal === undefined || !satisfied) throw required(requirements.demand);
  const senderConstrained = isSenderConstrained(principal);
  if (requirements.senderConstrained && !senderConstrained) throw senderUnbound(principal.kind);
  if (tokenOrKey !== undefined) checkSameClient(requirements, tokenOrKey, certificate);
  return {
    principal,
    certificate: tokenOrKey === undefined ? undefined : certificate?.principal,
    method: methodOf(tokenOrKey, certificate),
    scopes: requirements.widenScopes(intersectScopes(tokenOrKey?.principal.scopes, certificate?.principal.scopes)),
    senderConstrained,
    authenticatedBy,
    responseHeaders: tokenOrKey?.responseHeaders,
    certificateUntil: clientCertificate?.until,
    subjectKey: subjectKey(principal),
    clientKey: clientKey(principal),
  };
}

/** A certificate beside a token or key must be the same client's, and must be there for the clients of `certificateFor`. */
function checkSameClient(
  { certificateFor }: Requirements,
  { principal }: Verified,
  certificate: Verified | undefined,
): void {
  const { authenticator, clientId } = principal;
  if (certificate !== undefined) {
    if (certificate.principal.clientId === clientId) return;
    throw new GatewayError('denied', 'The client certificate is that of another client than the token or key.', {
      reason: 'client_mismatch',
    });
  }
  if (clientId === undefined) return;
  if (certificateFor.has(clientId) || certificateFor.has(`${authenticator}/${clientId}`)) {
    throw required('the client certificate of this client beside its token or key', 'certificate');
  }
}

function required(what: string, reason?: string): GatewayError {
  const demand = what === '' ? 'credentials that this gateway accepts' : what;
  return new GatewayError('credentials_required', `Authentication is required: present ${demand}.`, {
    ...(reason !== undefined && { reason }),
  });
}

function methodOf(tokenOrKey: Verified | undefined, certificate: Verified | undefined): AuthMethod {
  if (tokenOrKey === undefined) return 'mtls';
  const method = tokenOrKey.principal.kind === 'api-key' ? 'api-key' : 'oauth';
  return certificate === undefined ? method : `mtls+${method}`;
}
