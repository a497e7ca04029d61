// Attempt with one presented credential: its entry in the audit record, its metric, and the error of its refusal.
import { GatewayError } from '../errors.ts';
import type { Refused } from './authenticator.ts';
import type { AuthenticationObserver } from './authenticator-type.ts';
import type { Credential, CredentialRecord } from './credential.ts';
import { credentialRefused, proofRefused } from './errors.ts';
import { isProofRefusal } from './token/binding/dpop.ts';

/** The verification of one presented credential. */
export interface Attempt<C extends Credential> {
  readonly credential: C;
  /** In the audit record of the request. */
  readonly record: CredentialRecord;
  readonly observe: AuthenticationObserver;
  /** The name in metrics; undefined until an authenticator was found. */
  authenticator: string | undefined;
  /** Undefined where the verification was cached. */
  startedMs: number | undefined;
}

/** Puts the credential on record, as one that is not verified so far. */
export function openAttempt<C extends Credential>(
  credential: C,
  seen: CredentialRecord[],
  observe: AuthenticationObserver,
): Attempt<C> {
  const record = { kind: credential.kind, authenticator: undefined, id: undefined, principal: undefined };
  seen.push(record);
  return { credential, record, observe, authenticator: undefined, startedMs: performance.now() };
}

/** Records a verified credential. */
export function succeed(attempt: Attempt<Credential>): void {
  count(attempt, 'verified', 'none');
}

/** Throws `invalid_token`, `invalid_api_key` or `invalid_certificate`. */
export function refuse(
  attempt: Attempt<Credential>,
  { reason, revokedBy, nonce }: Pick<Refused, 'reason' | 'revokedBy' | 'nonce'>,
): never {
  count(attempt, 'refused', reason);
  if (isProofRefusal(reason)) throw proofRefused(reason, nonce);
  const { credential, authenticator } = attempt;
  // A credential that no authenticator knows as its key may also be a token.
  const kind = credential.kind === 'api-key' && authenticator === undefined ? 'access-token' : credential.kind;
  throw credentialRefused(kind, reason, revokedBy);
}

/** Throws the error of a dependency that could not be asked. */
export function fail(attempt: Attempt<Credential>, error: unknown): never {
  count(attempt, 'unavailable', (error instanceof GatewayError ? error.reason : undefined) ?? 'internal');
  throw error;
}

function count(
  { observe, authenticator = 'none', startedMs }: Attempt<Credential>,
  result: 'verified' | 'refused' | 'unavailable',
  reason: string,
): void {
  const seconds = startedMs === undefined ? undefined : (performance.now() - startedMs) / 1000;
  observe.authenticationAttempted(authenticator, result, reason, seconds);
}
