// Callers that no credential stands behind: the gateway itself, or whom an operator names, in questions of the gateway's own.
import { type Caller, clientKey, type Principal, subjectKey } from '../../authn/caller/principal.ts';

/** The identity in whose name an upstream is asked. */
export interface SelfIdentity {
  readonly subject: string;
  readonly clientId?: string | undefined;
  /** Chooses the username template of the assertion; without one the subject is the username. */
  readonly authenticator?: string | undefined;
  readonly issuer?: string | undefined;
  readonly scopes?: readonly string[] | undefined;
  readonly claims?: Readonly<Record<string, unknown>> | undefined;
}

/** The gateway itself. */
export const gatewayItself: SelfIdentity = { subject: 'portcullis' };

/** The caller of such an identity. */
export function callerOf(identity: SelfIdentity): Caller {
  const { authenticator = '', claims = {}, clientId, issuer = 'portcullis', scopes = [], subject } = identity;
  const principal: Principal = {
    ...{ kind: 'oauth', issuer, subject, clientId, claims, authenticator, scopes },
    ...{ credentialId: undefined, issuedAt: undefined, expiresAt: undefined, confirmation: undefined },
  };
  return {
    ...{ principal, certificate: undefined, method: 'oauth', scopes, authenticatedBy: [authenticator] },
    ...{ senderConstrained: false, responseHeaders: undefined },
    ...{ subjectKey: subjectKey(principal), clientKey: clientKey(principal) },
  };
}
