// Credentials that clients present. They live only from extraction to verification.
import type { X509Certificate } from 'node:crypto';
import type { Identity } from './caller/principal.ts';
import type { AccessToken } from './token/compact-jws.ts';

/** A client certificate as the TLS layer handed it over. Nothing in it is verified. */
export interface PeerCertificate {
  readonly certificate: X509Certificate;
  /** Further certificates that the client sent, in its order. */
  readonly chain: readonly X509Certificate[];
  /** The error of the TLS handshake, such as `CERT_HAS_EXPIRED`; undefined when there was none. */
  readonly authorizationError: string | undefined;
  /** A proxy stated it in a header: no handshake of this process has verified it. */
  readonly fromHeader?: boolean;
}

/** An access token with its DPoP proof. */
export interface PresentedToken {
  readonly kind: 'access-token' | 'dpop-token';
  readonly token: AccessToken;
  /** The DPoP header beside a `dpop-token` (RFC 9449 §7.1); undefined when there was none. */
  readonly proof: string | undefined;
}

/** An API key. */
export interface PresentedKey {
  readonly kind: 'api-key';
  readonly key: string;
  /** Lower-case name of the header that it came in. */
  readonly header: string;
}

/** A client certificate. */
export interface PresentedCertificate {
  readonly kind: 'client-certificate';
  readonly peer: PeerCertificate;
}

export type Credential = PresentedToken | PresentedKey | PresentedCertificate;

/** The credentials of one request: at most one of each. */
export interface Credentials {
  readonly certificate: PresentedCertificate | undefined;
  readonly tokenOrKey: PresentedToken | PresentedKey | undefined;
}

/** One presented credential in the audit record, verified or not. */
export interface CredentialRecord {
  readonly kind: Credential['kind'];
  /** Undefined until an authenticator was found for it. */
  authenticator: string | undefined;
  /** `jti`, key id or fingerprint; undefined until it was verified. */
  id: string | undefined;
  /** Whom it names; undefined unless its signature held. */
  principal: Identity | undefined;
}
