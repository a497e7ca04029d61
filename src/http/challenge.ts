// WWW-Authenticate challenges of Bearer (RFC 6750 §3, RFC 9728 §5.1) and DPoP (RFC 9449 §7.1).
import type { GatewayError } from '../errors.ts';

/** The facts of a route's challenges. */
export interface ChallengeSource {
  /** Scopes of the first challenge: the route's `challengeScopes`. */
  readonly scope: readonly string[];
  /** The names by which scopes are asked for at the authorization server of an authenticator. */
  readonly requestedScopes: (scopes: readonly string[], authenticator?: string) => readonly string[];
  /** URL of the protected resource metadata; undefined where no OAuth token is accepted. */
  readonly metadataUrl: string | undefined;
  readonly resource: string;
  /** The algorithms of DPoP proofs, in the form of `algs` (RFC 9449 §7.1); undefined where no bound tokens are accepted. */
  readonly dpopAlgorithms: string | undefined;
}

/**
 * The challenge for a refusal; undefined for errors other than 401 and `insufficient_scope`. Bearer comes first, since most clients read nothing else.
 * `authenticator` is that of the presented credential, if any. Equal refusals have equal challenges: clients notice by that a step-up that did not help.
 */
export function challenge(
  source: ChallengeSource | undefined,
  error: GatewayError,
  authenticator?: string,
): string | undefined {
  if (source === undefined || (error.status !== 401 && error.code !== 'insufficient_scope')) return undefined;
  const bearer = `Bearer ${bearerParameters(source, error, authenticator).join(', ')}`;
  if (source.dpopAlgorithms === undefined || error.status !== 401) return bearer;
  const dpop = `DPoP ${dpopParameters(source.dpopAlgorithms, error).join(', ')}`;
  // Alone: with `invalid_token` beside it a client would discard a token that only lacks a nonce.
  return error.dpopError === 'use_dpop_nonce' ? dpop : `${bearer}, ${dpop}`;
}

/** RFC 9449 §7.1 and §9. */
function dpopParameters(algorithms: string, { dpopError }: GatewayError): string[] {
  const algs = quoted('algs', algorithms);
  return dpopError === undefined ? [algs] : [algs, quoted('error', dpopError)];
}

/**
 * No `error` when nothing was presented (RFC 6750 §3.1). `insufficient_scope` names all scopes that the operation requires, also those that the
 * token has: a client that asks for exactly these can go on. The URL is last, so that no earlier value can look like a parameter.
 */
function bearerParameters(
  { scope, requestedScopes, metadataUrl, resource }: ChallengeSource,
  error: GatewayError,
  authenticator: string | undefined,
): string[] {
  const insufficient = error.code === 'insufficient_scope';
  const asked = requestedScopes(insufficient ? error.requiredScopes : scope, authenticator);
  const parameters: string[] = [];
  if (insufficient) parameters.push(quoted('error', 'insufficient_scope'));
  else if (error.code !== 'credentials_required') parameters.push(quoted('error', 'invalid_token'));
  if (asked.length > 0) parameters.push(quoted('scope', asked.join(' ')));
  parameters.push(metadataUrl === undefined ? quoted('realm', resource) : quoted('resource_metadata', metadataUrl));
  return parameters;
}

/** RFC 9110 §5.6.4. */
function quoted(name: string, value: string): string {
  return `${name}="${value.replace(/["\\]/g, '\\$&')}"`;
}
