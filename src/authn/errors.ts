// Errors of refused credentials: one public text for each kind of credential, the same for every reason why one was not good enough.
import { GatewayError, overloadedBy } from '../errors.ts';
import type { RefusalReason, Refused } from './authenticator.ts';
import type { Credential } from './credential.ts';
import type { ProofRefusal } from './token/binding/dpop.ts';

const retryAfterSeconds = '10';

const refusals = {
  'access-token': {
    code: 'invalid_token',
    message: 'The access token is not accepted here. Obtain a new one for this resource from its authorization server.',
  },
  'dpop-token': {
    code: 'invalid_token',
    message: 'The access token is not accepted here. Obtain a new one for this resource from its authorization server.',
  },
  'api-key': {
    code: 'invalid_api_key',
    message: 'The API key is not accepted here. Ask the operator of this gateway for a valid one.',
  },
  'client-certificate': {
    code: 'invalid_certificate',
    message: 'The client certificate is not accepted here. Present one that this gateway allows, or none.',
  },
} as const satisfies Record<Credential['kind'], unknown>;

/** 401 for a credential that was presented and is not good enough. `reason` stays with the operator; the record has it as `problem`. */
export function credentialRefused(
  kind: Credential['kind'],
  reason: RefusalReason,
  revokedBy?: Refused['revokedBy'],
): GatewayError {
  const { code, message } = refusals[kind];
  return new GatewayError(code, message, {
    reason,
    ...(kind === 'dpop-token' && { dpopError: 'invalid_token' }),
    detail: { credential: { kind, problem: reason, ...(revokedBy !== undefined && { revokedBy }) } },
  });
}

/** 401 for an Authorization header of a scheme that is none of ours, or of a token alone. */
export function schemeUnknown(): GatewayError {
  return new GatewayError(
    'invalid_token',
    'The scheme of the Authorization header is not known here. The known ones are Bearer and DPoP: send one of them, one space and the token.',
    { reason: 'scheme', detail: { credential: { kind: 'access-token', problem: 'scheme' } } },
  );
}

/** 401 for a verified token without a proof of its sender. `nonce` is for the next proof. */
export function proofRefused(reason: ProofRefusal, nonce: string | undefined): GatewayError {
  const details = {
    reason,
    headers: nonce === undefined ? {} : { 'DPoP-Nonce': nonce },
    detail: { credential: { kind: 'dpop-token', problem: reason } },
  };
  return reason === 'proof_nonce'
    ? new GatewayError(
        'invalid_token',
        'The DPoP proof needs the nonce in the DPoP-Nonce header of this answer. Make a new proof with it and call again.',
        { ...details, dpopError: 'use_dpop_nonce' },
      )
    : new GatewayError(
        'invalid_token',
        'The DPoP proof is not accepted. Send one DPoP header, made anew for each request, with the key of the token, for this method, this public URL and this token.',
        { ...details, dpopError: 'invalid_dpop_proof' },
      );
}

/** 503 while no further proof can be stored: one that may have been used before must not pass. */
export function proofsOverloaded(): GatewayError {
  return overloadedBy('replay_store', 'Too many DPoP proofs have been used in the last minutes. Try again shortly.', {
    headers: { 'retry-after': retryAfterSeconds },
  });
}

/** 401 where a route takes only what is bound to its sender. */
export function senderUnbound(kind: 'oauth' | 'api-key' | 'mtls'): GatewayError {
  return kind === 'api-key'
    ? credentialRefused('api-key', 'sender_constraint')
    : new GatewayError(
        'invalid_token',
        'This resource takes only access tokens that are bound to their sender. Obtain one that is bound to a key (DPoP) or to your client certificate.',
        {
          reason: 'sender_constraint',
          detail: { credential: { kind: 'access-token', problem: 'sender_constraint' } },
        },
      );
}

/** 503 while there are no keys of the issuer. */
export function issuerUnavailable(cause: unknown): GatewayError {
  return new GatewayError(
    'idp_unavailable',
    'Access tokens cannot be verified at the moment because the keys of their issuer are not at hand. Try again shortly.',
    {
      reason: 'key_set',
      headers: { 'Retry-After': retryAfterSeconds },
      detail: { credential: { kind: 'access-token', problem: 'key_set' } },
      cause,
    },
  );
}
