// Errors for callers while an authorization server cannot be reached, or its answers cannot be used.
import { GatewayError } from '../errors.ts';

const retryAfterSeconds = '5';

/** 503 while a token cannot be introspected. `outcome` says how, for the record. */
export function introspectionUnavailable(outcome: string, cause: unknown): GatewayError {
  return new GatewayError(
    'idp_unavailable',
    'The access token cannot be verified at the moment because its authorization server does not answer as it should. Try again shortly.',
    {
      reason: 'introspection',
      headers: { 'Retry-After': retryAfterSeconds },
      detail: { credential: { kind: 'access-token', problem: 'introspection', outcome } },
      cause,
    },
  );
}

/** 503 while a token cannot be exchanged. */
export function exchangeUnavailable(cause: unknown): GatewayError {
  return new GatewayError(
    'idp_unavailable',
    'The server behind this gateway takes a token of its own, which the authorization server does not give at the moment. Try again shortly.',
    { reason: 'token_exchange', headers: { 'Retry-After': retryAfterSeconds }, cause },
  );
}
