// Principals and callers: the identity behind a verified credential, and behind a request. Hold no secret.
import type { Confirmation } from '../token/binding/confirmation.ts';

export type PrincipalKind = 'oauth' | 'api-key' | 'mtls';

/** The identity that a credential names; also of one that is refused although its signature held. */
export interface Identity {
  readonly kind: PrincipalKind;
  /** The token's `iss`, or the authenticator's name for keys and certificates. */
  readonly issuer: string;
  readonly subject: string;
  /** Absent when a token names no client. */
  readonly clientId: string | undefined;
  /** `jti`, key id or certificate fingerprint. */
  readonly credentialId: string | undefined;
  /** The configured further claims by their configured names; `tenant` is one of them. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** The identity behind one verified credential. */
export interface Principal extends Identity {
  /** The authenticator that verified it. */
  readonly authenticator: string;
  /** Granted by this credential; `undefined` grants nothing and limits nothing (a certificate entry without scopes). */
  readonly scopes: readonly string[] | undefined;
  /** Milliseconds since 1970: a token's `iat`; undefined where the credential does not say it. */
  readonly issuedAt: number | undefined;
  /** Milliseconds since 1970; undefined when the credential does not expire by itself. */
  readonly expiresAt: number | undefined;
  /** The binding of the token; undefined for bearer tokens, keys and certificates. Verified on each request. */
  readonly confirmation: Confirmation | undefined;
}

/**
 * Key of the subject that sessions and limits belong to: the person where a token names one, through whichever client; else the client. A `sub` that
 * equals the id of a client is not that client (RFC 9068 §5).
 */
export function subjectKey({
  kind,
  issuer,
  subject,
  clientId,
}: Pick<Principal, 'kind' | 'issuer' | 'subject' | 'clientId'>): string {
  const isPerson = kind === 'oauth' && subject !== clientId;
  return isPerson ? `person\n${issuer}\n${subject}` : `client\n${issuer}\n${clientId ?? subject}`;
}

/** Key of the client of a principal, for all its people; the subject itself where a token names no client. */
export function clientKey(principal: Principal): string {
  const { issuer, clientId } = principal;
  return clientId === undefined ? subjectKey(principal) : `client\n${issuer}\n${clientId}`;
}

export type AuthMethod = 'mtls' | 'oauth' | 'api-key' | 'mtls+oauth' | 'mtls+api-key';

/** The identity behind a request: the acting principal, and the certificate beside it. */
export interface Caller {
  /** The token or key when there is one, else the certificate. */
  readonly principal: Principal;
  /** The certificate recorded beside a token or key. */
  readonly certificate: Principal | undefined;
  readonly method: AuthMethod;
  /** Granted by the credentials together, with the scopes that those imply (`scopeImplies`). */
  readonly scopes: readonly string[];
  /** Names of the authenticators whose credential verified. */
  readonly authenticatedBy: readonly string[];
  /** The acting credential is bound to who sends it: a token by its confirmation, a certificate by nature, a key never. */
  readonly senderConstrained: boolean;
  /** Headers for the response, such as `Deprecation` and `Sunset` on a key's last months; undefined when none. */
  readonly responseHeaders: Readonly<Record<string, string>> | undefined;
  /** The first instant at which the presented certificate is not trusted any more, whatever it proves. Milliseconds since 1970. */
  readonly certificateUntil?: number | undefined;
  /** `subjectKey` and `clientKey` of the principal. */
  readonly subjectKey: string;
  readonly clientKey: string;
}
