// What every verifier is: a name, a kind, and one method. An unavailable dependency is thrown (503), never a refusal or a pass.
import type { Credential } from './credential.ts';
import type { Principal } from './principal.ts';
import type { RevokedBy } from './revocations.ts';
import type { ProofRefusal } from './token/dpop.ts';

/** Why a credential was refused; a closed list, used as a metric label and in the log. */
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
  /** Its authorization server says that the token does not count (RFC 7662 §2.2). */
  | 'inactive'
  | 'purpose'
  | 'identity'
  /** An Authorization scheme that nobody reads. */
  | 'scheme'
  /** Verified, but the route does not name its authenticator. */
  | 'not_accepted'
  | ProofRefusal;

export interface Verified {
  readonly verified: true;
  readonly principal: Principal;
  /** Of a certificate: the first instant at which it is not trusted any more, at the latest its own end. Milliseconds since 1970. */
  readonly until?: number | undefined;
  readonly responseHeaders?: Readonly<Record<string, string>> | undefined;
}

export interface Refused {
  readonly verified: false;
  readonly reason: RefusalReason;
  /** Where the operator's revocation file says so. */
  readonly revokedBy?: RevokedBy;
  /** What a DPoP proof should hold the next time. */
  readonly nonce?: string | undefined;
  /** Of a good token that did not prove to come from its sender: whose it is, for the record. */
  readonly whose?: Principal;
}

export type Verification = Verified | Refused;

export interface VerificationContext {
  /** Milliseconds since 1970. */
  readonly now: number;
  /** The client's address as the gateway believes it. */
  readonly clientAddress: string;
  /** The resource identifier of the route: the default audience of tokens. */
  readonly resource: string;
  /** The route's introspection authenticator, whose every token is that does not tell its issuer; undefined where there is none. */
  readonly opaqueOwner?: string | undefined;
}

export interface Authenticator {
  readonly name: string;
  readonly kind: 'jwt' | 'introspection' | 'mtls' | 'apiKey';
  /** Verifies one credential of its own kind. Throws GatewayError `idp_unavailable` when a dependency is down. */
  verify(credential: Credential, context: VerificationContext): Verification | Promise<Verification>;
}

/** A verifier of tokens or keys. They are presented once, though their answer may go on for hours and over many configurations. */
export interface LastingAuthenticator extends Authenticator {
  /**
   * What the verification of this principal's credential rested on, as far as configuration goes, for a route of this resource: two
   * verifiers that say the same would both verify it. Undefined: this one would not. Holds no secret.
   */
  basisOf(principal: Principal, resource: string): string | undefined;
  /** Judges the principal again by everything but its credential, as of now. */
  verifyAgain(principal: Principal, context: VerificationContext): Verification;
}

/** A verifier of certificates answers at once. */
export interface CertificateVerifier extends Authenticator {
  readonly kind: 'mtls';
  verify(credential: Credential, context: VerificationContext): Verification;
}
