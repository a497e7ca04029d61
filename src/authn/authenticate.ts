// Authentication of one request: every credential that it presents is verified, and together they must be what the route requires.
import { type Attempt, fail, openAttempt, refuse, succeed } from './attempt.ts';
import type { Verification, VerificationContext, Verified } from './authenticator.ts';
import { buildCaller } from './caller/caller.ts';
import type { Caller } from './caller/principal.ts';
import type { Revocations } from './caller/revocations.ts';
import { type ClientCertificate, identifyCertificate } from './certificate/identify.ts';
import type { PresentedCertificate, PresentedKey, PresentedToken } from './credential.ts';
import { type CredentialSources, extractCredentials } from './extract-credentials.ts';
import { findAuthenticator, type Match } from './find-authenticator.ts';
import type { AuthenticatorSet } from './registry.ts';
import type { Requirements } from './requirements.ts';
import { verifyBearer, verifyDpop } from './token/binding/sender-constraint.ts';

/** A request as authentication sees it. */
export interface AuthenticationRequest extends CredentialSources, VerificationContext {
  /** The HTTP method, and the public URL without a query: a DPoP proof must be made for them. */
  readonly method: string;
  readonly url: string;
  /** The revocation list in force; it may change while a verification waits. */
  readonly revocations: () => Revocations;
}

interface Context {
  readonly request: AuthenticationRequest;
  readonly requirements: Requirements;
  readonly authenticators: AuthenticatorSet;
}

/**
 * Authenticates one request; undefined on a route with `authenticate: none`. Throws GatewayError: `credentials_required`, `invalid_certificate`,
 * `invalid_token`, `invalid_api_key` (each with a `reason` for the operator), `denied` when the certificate is another client's, `idp_unavailable`,
 * and what `extractCredentials` throws. `request.seen` is filled in any case.
 */
export async function authenticate(
  request: AuthenticationRequest,
  requirements: Requirements,
  authenticators: AuthenticatorSet,
): Promise<Caller | undefined> {
  if (requirements.kind === 'none') return undefined;
  const context = { request, requirements, authenticators };
  const { observe } = authenticators;
  const presented = extractCredentials(request, authenticators);
  const certificate = presented.certificate && openAttempt(presented.certificate, request.seen, observe);
  const tokenOrKey = presented.tokenOrKey && openAttempt(presented.tokenOrKey, request.seen, observe);
  const found = tokenOrKey && find(tokenOrKey, context);
  const clientCertificate = certificate && verifyCertificate(certificate, context);
  const verified = found && (await verify(tokenOrKey, found, clientCertificate, context));
  return buildCaller(requirements, verified, clientCertificate);
}

type Found = Match | { readonly kind: 'cached'; readonly verified: Verified };

/** A cached verification, or the authenticator. A token or key of no authenticator is refused before any credential is verified. */
function find(
  attempt: Attempt<PresentedToken | PresentedKey>,
  { request, requirements, authenticators }: Context,
): Found {
  const { credential } = attempt;
  if (credential.kind !== 'api-key') {
    const verified = authenticators.tokens.get(credential.token, requirements.opaque, request);
    if (verified !== undefined) {
      attempt.authenticator = verified.principal.authenticator;
      attempt.startedMs = undefined;
      return { kind: 'cached', verified };
    }
  }
  const match = findAuthenticator(credential, authenticators, requirements.opaque);
  if (typeof match === 'string') return refuse(attempt, { reason: match });
  attempt.authenticator = match.authenticator.name;
  return match;
}

function verifyCertificate(
  attempt: Attempt<PresentedCertificate>,
  { request, requirements, authenticators }: Context,
): ClientCertificate {
  const { credential, record } = attempt;
  const { certificates } = requirements;
  const identified = identifyCertificate(credential, certificates, authenticators.clientTrust, request);
  const verified = 'refused' in identified ? undefined : identified.verified;
  if ('refused' in identified) attempt.authenticator = certificates[0]?.name;
  else attempt.authenticator = record.authenticator = verified?.principal.authenticator;
  record.id = identified.fingerprint;
  record.principal = 'refused' in identified ? identified.principal : verified?.principal;
  const revocations = request.revocations();
  const revokedBy =
    revocations.ofCertificate(credential.peer.certificate) ?? (verified && revocations.ofPrincipal(verified.principal));
  if (revokedBy !== undefined) return refuse(attempt, { reason: 'revoked', revokedBy });
  if ('refused' in identified) return refuse(attempt, { reason: identified.refused });
  succeed(attempt);
  return identified;
}

/** Verifies a token or key, that it comes from its sender, and that it is not revoked. */
async function verify(
  attempt: Attempt<PresentedToken | PresentedKey>,
  found: Found,
  certificate: ClientCertificate | undefined,
  context: Context,
): Promise<Verified> {
  const { request, authenticators } = context;
  attempt.record.authenticator = attempt.authenticator;
  let verification: Verification;
  try {
    if (found.kind === 'cached') verification = found.verified;
    else if (found.kind === 'key') verification = found.authenticator.verify(found.credential, request);
    else verification = await verifyToken(found, context);
    attempt.record.principal = verification.principal;
    attempt.record.id = verification.principal?.credentialId;
    if (verification.verified) {
      const { credential } = attempt;
      verification =
        credential.kind === 'dpop-token'
          ? await verifyDpop(verification, credential, request, authenticators.proofs)
          : verifyBearer(verification, certificate?.fingerprint);
    }
  } catch (error) {
    return fail(attempt, error);
  }
  if (!verification.verified) return refuse(attempt, verification);
  const revokedBy = request.revocations().ofPrincipal(verification.principal);
  if (revokedBy !== undefined) return refuse(attempt, { reason: 'revoked', revokedBy });
  succeed(attempt);
  return verification;
}

async function verifyToken(
  { authenticator, credential }: Extract<Found, { kind: 'token' }>,
  { request, requirements, authenticators }: Context,
): Promise<Verification> {
  const verification = await authenticator.verify(credential.token, request);
  if (verification.verified) {
    authenticators.tokens.set(credential.token, requirements.opaque, request, verification);
  }
  return verification;
}
