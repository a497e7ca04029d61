// Who is calling: every presented credential is verified, and together they must be what the route demands.
import { GatewayError } from '../errors.ts';
import type { Authenticator, RefusalReason, Verification, VerificationContext, Verified } from './authenticator.ts';
import { admit } from './caller.ts';
import { type JudgedCertificate, judgeCertificate } from './certificate/identify.ts';
import type { Credential, CredentialRecord, Credentials, PeerCertificate } from './credential.ts';
import { credentialRefused, proofRefused } from './errors.ts';
import { findOwner, presentedCredential } from './find-authenticator.ts';
import type { Caller } from './principal.ts';
import type { AuthenticatorSet } from './registry.ts';
import type { AuthenticatePlan } from './requirements.ts';
import type { Revocations, RevokedBy } from './revocations.ts';
import { isProofRefusal } from './token/dpop.ts';
import { type Sender, verifySender } from './token/sender-constraint.ts';

export { type AuthenticatePlan, authenticatorNamesOf, compileAuthenticate } from './requirements.ts';

export interface AuthenticationContext extends VerificationContext {
  /** The HTTP method, and the public URL of what was asked for, without a query: what a DPoP proof must be made for. */
  readonly method: string;
  readonly url: string;
  /** Filled with what was presented, also when `authenticate` throws. */
  readonly seen: CredentialRecord[];
  /** What is revoked now: a verification may have waited for keys while it changed. */
  readonly revocations: () => Revocations;
}

/**
 * Authenticates one request; undefined on a route with `authenticate: none`. Throws GatewayError: `credentials_required`, `invalid_certificate`,
 * `invalid_token`, `invalid_api_key` (each with a `reason` for the operator), `denied` when the certificate is another client's,
 * `idp_unavailable`. Answers at once unless a signature must be checked.
 */
export function authenticate(
  credentials: Credentials,
  plan: AuthenticatePlan,
  authenticators: AuthenticatorSet,
  context: AuthenticationContext,
): Caller | undefined | Promise<Caller> {
  if (plan.kind === 'none') return undefined;
  const presented = presentedCredential(credentials, authenticators.owners);
  const judge = presented && judgeOf(presented, credentials, authenticators, context);
  const certificate = presentCertificate(credentials, presented, plan, authenticators, context);
  if (presented === undefined || judge === undefined) return admit(plan, undefined, certificate);
  const known = 'verified' in judge;
  const verified = verifyPresented(judge, {
    credential: presented,
    certificate,
    proofs: authenticators.proofs,
    method: context.method,
    url: context.url,
    now: context.now,
    name: known ? judge.principal.authenticator : judge.name,
    startedMs: known ? undefined : performance.now(),
    observe: authenticators.observe,
    context,
  });
  return verified instanceof Promise
    ? verified.then((each) => admit(plan, each, certificate))
    : admit(plan, verified, certificate);
}

function presentCertificate(
  { certificate }: Credentials,
  presented: Credential | undefined,
  plan: AuthenticatePlan,
  authenticators: AuthenticatorSet,
  context: AuthenticationContext,
): JudgedCertificate | undefined {
  if (certificate === undefined) return undefined;
  const startedMs = performance.now();
  const judged = judgeCertificate(certificate, plan, authenticators, context);
  const isTrusted = !('refused' in judged);
  const name = isTrusted ? judged.verified?.principal.authenticator : judged.name;
  const revokedBy = revocationOf(certificate, isTrusted ? judged.verified : undefined, context);
  const refusal: RefusalReason | undefined =
    revokedBy === undefined ? (isTrusted ? undefined : judged.refused) : 'revoked';
  authenticators.observe.credentialJudged(
    name ?? 'none',
    refusal === undefined ? 'verified' : 'refused',
    refusal ?? 'none',
    secondsSince(startedMs),
  );
  context.seen.push({
    kind: 'client-certificate',
    authenticator: isTrusted ? name : undefined,
    id: isTrusted ? judged.fingerprint : undefined,
  });
  if (isTrusted && refusal === undefined) return judged;
  if (presented !== undefined) record(context, presented, undefined, undefined);
  throw credentialRefused('client-certificate', refusal ?? 'untrusted', revokedBy);
}

/** A certificate is asked about as such, whatever it is used for, and as the client that it stands for. */
function revocationOf(
  { certificate }: PeerCertificate,
  verified: Verified | undefined,
  context: AuthenticationContext,
): RevokedBy | undefined {
  const revocations = context.revocations();
  return revocations.ofCertificate(certificate) ?? (verified && revocations.ofPrincipal(verified.principal));
}

/** A token that was verified before, or else whose the credential is. Nobody's is refused before any credential is verified. */
function judgeOf(
  presented: Credential,
  { certificate }: Credentials,
  authenticators: AuthenticatorSet,
  context: AuthenticationContext,
): Verified | Authenticator {
  const startedMs = performance.now();
  if (presented.kind === 'access-token' || presented.kind === 'dpop-token') {
    const known = authenticators.tokens.get(presented.token, context);
    if (known !== undefined) return known;
  }
  const ownership = findOwner(presented, authenticators.owners, context.opaqueOwner);
  if (ownership.owner !== undefined) return ownership.owner;
  authenticators.observe.credentialJudged('none', 'refused', ownership.reason, secondsSince(startedMs));
  if (certificate !== undefined) {
    record(context, { kind: 'client-certificate', peer: certificate }, undefined, undefined);
  }
  record(context, presented, undefined, undefined);
  throw credentialRefused(presented.kind === 'dpop-token' ? 'dpop-token' : 'access-token', ownership.reason);
}

/** What is asked of one token or key, and where the answer goes. */
interface Inquiry extends Sender {
  /** The authenticator's name. */
  readonly name: string;
  /** Undefined for a token that was known. */
  readonly startedMs: number | undefined;
  readonly observe: AuthenticatorSet['observe'];
  readonly context: AuthenticationContext;
}

/** First whether it is good, then whether it comes from its sender: a good token in other hands is as good as none. */
function verifyPresented(judge: Verified | Authenticator, inquiry: Inquiry): Verified | Promise<Verified> {
  const { credential, context } = inquiry;
  let outcome: Verification;
  try {
    const token = 'verified' in judge ? judge : judge.verify(withoutProof(credential), context);
    const fromSender =
      token instanceof Promise ? token.then((each) => askSender(each, inquiry)) : askSender(token, inquiry);
    if (fromSender instanceof Promise) {
      return fromSender.then(
        (each) => settle(each, inquiry),
        (error: unknown) => unavailable(error, inquiry),
      );
    }
    outcome = fromSender;
  } catch (error) {
    return unavailable(error, inquiry);
  }
  return settle(outcome, inquiry);
}

function askSender(verification: Verification, inquiry: Inquiry): Verification | Promise<Verification> {
  return verification.verified ? verifySender(verification, inquiry) : verification;
}

/** To whoever verifies it a token is a token. */
function withoutProof(credential: Credential): Credential {
  return credential.kind === 'dpop-token' ? { kind: 'access-token', token: credential.token } : credential;
}

function settle(judged: Verification, { credential, name, startedMs, observe, context }: Inquiry): Verified {
  const verification = unlessRevoked(judged, context);
  // A revoked one was verified: the record names it.
  record(context, credential, name, judged);
  const seconds = secondsSince(startedMs);
  if (verification.verified) {
    observe.credentialJudged(name, 'verified', 'none', seconds);
    return verification;
  }
  observe.credentialJudged(name, 'refused', verification.reason, seconds);
  const { nonce, reason, revokedBy } = verification;
  throw isProofRefusal(reason) ? proofRefused(reason, nonce) : credentialRefused(credential.kind, reason, revokedBy);
}

/** Behind every verification, and behind the memory of one. */
function unlessRevoked(verification: Verification, context: AuthenticationContext): Verification {
  if (!verification.verified) return verification;
  const by = context.revocations().ofPrincipal(verification.principal);
  return by === undefined ? verification : revoked(by);
}

function revoked(revokedBy: RevokedBy): Verification {
  return { verified: false, reason: 'revoked', revokedBy };
}

function unavailable(error: unknown, { credential, name, startedMs, observe, context }: Inquiry): never {
  const reason = error instanceof GatewayError ? error.reason : undefined;
  observe.credentialJudged(name, 'unavailable', reason ?? 'internal', secondsSince(startedMs));
  record(context, credential, name, undefined);
  throw error;
}

function record(
  context: AuthenticationContext,
  credential: Credential,
  authenticator: string | undefined,
  verification: Verification | undefined,
): void {
  const whose = verification?.verified ? verification.principal : verification?.whose;
  context.seen.push({ kind: credential.kind, authenticator, id: whose?.credentialId });
}

/** Undefined where nothing was timed. */
function secondsSince(startedMs: number | undefined): number | undefined {
  return startedMs === undefined ? undefined : (performance.now() - startedMs) / 1000;
}
