// Authenticators: a name, the kind of credential that each accepts, and its verification.

import type { Identity, Principal } from './caller/principal.ts';
import type { RevokedBy } from './caller/revocations.ts';
import type { CertificateNames } from './certificate/identity.ts';
import type { PresentedCertificate, PresentedKey } from './credential.ts';
import type { ProofRefusal, ProofVerifier } from './token/binding/dpop.ts';
import type { AccessToken } from './token/compact-jws.ts';

/** Reasons of a refusal: a closed list, for a metric label and the log. */
export type RefusalReason =
  | 'format'
  | 'algorithm'
  | 'signature'
  | 'unknown_key'
  | 'token_type'
  | 'issuer'
  | 'audience'
  | 'expired'
  | 'not_yet_valid'
  | 'claims'
  | 'sender_constraint'
  | 'unknown'
  | 'network'
  | 'sunset'
  | 'untrusted'
  | 'revoked'
  /** Its authorization server says that the token is not active (RFC 7662 §2.2). */
  | 'inactive'
  | 'purpose'
  | 'identity'
  /** An Authorization scheme other than Bearer and DPoP. */
  | 'scheme'
  /** Verified, but the route does not name its authenticator. */
  | 'not_accepted'
  | ProofRefusal;

/** A verified credential. */
export interface Verified {
  readonly verified: true;
  readonly principal: Principal;
  /** Undefined where the credential is verified on every request. */
  readonly validity?: Validity;
  readonly responseHeaders?: Readonly<Record<string, string>> | undefined;
}

/** The end of a verification. */
interface Validity {
  /** Milliseconds since 1970: the first instant at which it does not hold any more. Never beyond the credential's own end. */
  readonly until: number;
  /** False once the keys that it rests on have changed; absent where it rests on none. */
  isCurrent?(): boolean;
}

/** A refused credential. */
export interface Refused {
  readonly verified: false;
  readonly reason: RefusalReason;
  /** The entry of the revocation list that revokes it. */
  readonly revokedBy?: RevokedBy;
  /** The nonce for the next DPoP proof. */
  readonly nonce?: string | undefined;
  /** For the record, where the signature of the credential held; never of one that did not. */
  readonly principal?: Identity | undefined;
}

/** The answer of an authenticator. A dependency that cannot be asked is neither: it is thrown. */
export type Verification = Verified | Refused;

/** Facts of the request that a verification uses. */
export interface VerificationContext {
  /** Milliseconds since 1970. */
  readonly now: number;
  /** The client's address as the gateway believes it. */
  readonly clientAddress: string;
  /** The resource identifier of the route, in the form that the client typed: with a trailing slash or without. The default audience of tokens. */
  readonly resource: string;
  /** The same as it is configured, whose tokens are accepted too; undefined where it does not differ. */
  readonly canonicalResource?: string | undefined;
}

/** Verifies its principals again without their credential, which is gone while their streams go on. */
interface Reverification {
  /**
   * Equal in two configurations whose authenticators would both verify this principal's credential for this resource; undefined where this one would
   * not. Holds no secret.
   */
  configurationOf(principal: Principal, resource: string): string | undefined;
  /** Verifies the principal by everything but its credential, as of now. */
  reverify(principal: Principal, context: VerificationContext): Verification;
}

/** Verifies access tokens. */
export interface TokenAuthenticator extends Reverification {
  readonly name: string;
  readonly accepts: 'access-token';
  /** The `iss` of its tokens. */
  readonly issuer: string;
  /** Takes tokens that are no JWTs, on routes that name it. */
  readonly takesOpaque: boolean;
  /** Time for which its tokens are accepted after their end. */
  readonly clockToleranceMs: number;
  /** Undefined where DPoP-bound tokens are refused. */
  readonly proofs: ProofVerifier | undefined;
  /** The scopes that it may grant; undefined for any. */
  readonly maxScopes: ReadonlySet<string> | undefined;
  /** `configurationOf` without `maxScopes`. */
  acceptanceOf(principal: Principal, resource: string): string | undefined;
  /** Throws GatewayError `idp_unavailable` while its authorization server cannot be asked. */
  verify(token: AccessToken, context: VerificationContext): Promise<Verification>;
  /** The verification of a token that says this and is genuine, current and for the resource: the review of a policy has no token. */
  assume(stated: StatedToken): Verification;
}

/** The statements of a token, claims by our names. */
export type StatedToken = Pick<
  Principal,
  'claims' | 'clientId' | 'confirmation' | 'credentialId' | 'issuedAt' | 'subject'
> & { readonly scopes: readonly string[] };

/** Verifies API keys. */
export interface KeyAuthenticator extends Reverification {
  readonly name: string;
  readonly accepts: 'api-key';
  /** The beginning of its keys. */
  readonly prefix: string;
  /** Lower-case name of the header of its keys; they may come as `Authorization: Bearer` too. */
  readonly header: string;
  verify(key: PresentedKey, context: VerificationContext): Verification;
  /** By the id of the key alone. */
  reverify(principal: Pick<Principal, 'credentialId'>, context: VerificationContext): Verification;
  /** The SHA-256 of the key of its principal, in hexadecimal. */
  digestOf(principal: Principal): string | undefined;
  /** Verifies the key with this digest, but for its prefix and header. */
  verifyDigest(digest: string, context: VerificationContext): Verification;
}

/** Identifies trusted client certificates. */
export interface CertificateAuthenticator {
  readonly name: string;
  readonly accepts: 'client-certificate';
  verify(certificate: PresentedCertificate, context: VerificationContext): Verification;
  /** The verification of a trusted certificate with these names. */
  assume(names: CertificateNames): Verification;
}

export type Authenticator = TokenAuthenticator | KeyAuthenticator | CertificateAuthenticator;

/** A refusal for this reason. `principal` is whom a credential names whose signature held. */
export function refused(reason: RefusalReason, principal?: Identity): Refused {
  return { verified: false, reason, principal };
}
