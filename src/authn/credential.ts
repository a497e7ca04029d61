// What a client presents to prove who it is. Lives only between `collectCredentials` and `authenticate`.
import type { X509Certificate } from 'node:crypto';

/** A client certificate as the TLS layer handed it over; not yet judged. */
export interface PeerCertificate {
  readonly certificate: X509Certificate;
  /** Further certificates that the client sent, in its order. */
  readonly chain: readonly X509Certificate[];
  /** What the TLS layer found wrong at the handshake, such as `CERT_HAS_EXPIRED`; undefined when nothing. */
  readonly authorizationError: string | undefined;
  /** A proxy stated it: no handshake of ours has looked at it. */
  readonly fromHeader?: boolean;
}

export type Credential =
  | { readonly kind: 'access-token'; readonly token: string }
  /** `proof`: the DPoP header, if there was one. */
  | { readonly kind: 'dpop-token'; readonly token: string; readonly proof: string | undefined }
  | { readonly kind: 'api-key'; readonly key: string; readonly header: string }
  | { readonly kind: 'client-certificate'; readonly peer: PeerCertificate };

/** At most one of each; a token beside a key never gets this far. */
export interface Credentials {
  readonly certificate: PeerCertificate | undefined;
  /** The value behind `Bearer`, or a key from its own header (then `header` names it). */
  readonly bearer: string | undefined;
  /** The value behind `DPoP` (RFC 9449 §7.1), never beside a bearer, and its proof. */
  readonly dpop?: { readonly token: string; readonly proof: string | undefined } | undefined;
  readonly apiKey: { readonly key: string; readonly header: string } | undefined;
}

/** What the audit record tells of one presented credential, verified or not. */
export interface CredentialRecord {
  readonly kind: Credential['kind'];
  /** Whose it is; undefined when nobody owns it. */
  readonly authenticator: string | undefined;
  /** `jti`, key id or fingerprint, once verified. */
  readonly id: string | undefined;
}
