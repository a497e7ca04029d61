// Whether the credentials that verified are what the route demands, and who they make of the caller together. Pure.
import { GatewayError } from '../errors.ts';
import type { Verified } from './authenticator.ts';
import type { JudgedCertificate } from './certificate/identify.ts';
import { credentialRefused, senderUnbound } from './errors.ts';
import type { AuthMethod, Caller } from './principal.ts';
import type { AuthenticatePlan } from './requirements.ts';
import { intersectScopes } from './scopes.ts';
import { isSenderConstrained } from './token/sender-constraint.ts';

/**
 * Named by the route, enough for it, bound where it asks for that, and of one client. Throws GatewayError: 401 `credentials_required`,
 * `invalid_token` or `invalid_api_key`, 403 `denied` when the certificate is another client's.
 */
export function admit(
  plan: AuthenticatePlan,
  token: Verified | undefined,
  judgedCertificate: JudgedCertificate | undefined,
): Caller {
  if (token === undefined || judgedCertificate !== undefined) return callerOf(plan, token, judgedCertificate);
  let caller = plan.callers.get(token);
  if (caller === undefined) {
    caller = callerOf(plan, token, undefined);
    plan.callers.set(token, caller);
  }
  return caller;
}

function callerOf(
  plan: AuthenticatePlan,
  token: Verified | undefined,
  judgedCertificate: JudgedCertificate | undefined,
): Caller {
  const certificate = judgedCertificate?.verified;
  const tokenOwner = token?.principal.authenticator;
  const certificateOwner = certificate?.principal.authenticator;
  if (token !== undefined && !plan.named.has(tokenOwner!)) {
    throw credentialRefused(token.principal.kind === 'api-key' ? 'api-key' : 'access-token', 'not_accepted');
  }
  const principal = token?.principal ?? certificate?.principal;
  const satisfied = plan.alternatives.some((members) =>
    members.every((name) => name === tokenOwner || name === certificateOwner),
  );
  if (principal === undefined || !satisfied) throw required(plan.demand);
  const senderConstrained = isSenderConstrained(principal);
  if (plan.senderConstrained && !senderConstrained) throw senderUnbound(principal.kind);
  if (token !== undefined) checkSameClient(plan, token, certificate);
  return {
    principal,
    certificate: token === undefined ? undefined : certificate?.principal,
    method: methodOf(token, certificate),
    scopes: plan.widenScopes(intersectScopes(token?.principal.scopes, certificate?.principal.scopes)),
    senderConstrained,
    authenticatedBy: [tokenOwner, certificateOwner].filter((name) => name !== undefined),
    responseHeaders: token?.responseHeaders,
    certificateUntil: judgedCertificate?.until,
  };
}

/** A certificate beside a token or key must be the same client's, and must be there for the clients of `certificateFor`. */
function checkSameClient(plan: AuthenticatePlan, token: Verified, certificate: Verified | undefined): void {
  const { authenticator, clientId } = token.principal;
  if (certificate !== undefined) {
    if (certificate.principal.clientId === clientId) return;
    throw new GatewayError('denied', 'The client certificate is that of another client than the token or key.', {
      reason: 'client_mismatch',
    });
  }
  if (clientId === undefined) return;
  if (plan.certificateFor.has(clientId) || plan.certificateFor.has(`${authenticator}/${clientId}`)) {
    throw required('the client certificate of this client beside its token or key', 'certificate');
  }
}

function required(what: string, reason?: string): GatewayError {
  const demand = what === '' ? 'credentials that this gateway accepts' : what;
  return new GatewayError('credentials_required', `Authentication is required: present ${demand}.`, {
    ...(reason !== undefined && { reason }),
  });
}

function methodOf(token: Verified | undefined, certificate: Verified | undefined): AuthMethod {
  if (token === undefined) return 'mtls';
  const method = token.principal.kind === 'api-key' ? 'api-key' : 'oauth';
  return certificate === undefined ? method : `mtls+${method}`;
}
