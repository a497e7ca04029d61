// The WWW-Authenticate header (RFC 6750 §3, RFC 9728 §5.1): one place, the same bytes for the same denial.
import type { GatewayError } from '../errors.ts';

export interface ChallengeSource {
  /** What the first challenge asks for: the route's `challengeScopes`. */
  readonly scope: readonly string[];
  /** Where the protected resource metadata is; undefined where no OAuth token is accepted. */
  readonly metadataUrl: string | undefined;
  readonly resource: string;
}

/**
 * The challenge for a refusal, or undefined where none belongs. No `error` when nothing was presented (RFC 6750 §3.1);
 * `insufficient_scope` only where more scope would help.
 */
export function challenge(source: ChallengeSource | undefined, error: GatewayError): string | undefined {
  if (source === undefined || (error.status !== 401 && error.code !== 'insufficient_scope')) return undefined;
  const parameters: string[] = [];
  let scope = source.scope;
  if (error.code === 'insufficient_scope') {
    parameters.push('error="insufficient_scope"');
    scope = error.missingScopes;
  } else if (error.code !== 'credentials_required') {
    parameters.push('error="invalid_token"');
  }
  if (scope.length > 0) parameters.push(`scope="${scope.join(' ')}"`);
  if (source.metadataUrl === undefined) parameters.push(`realm="${source.resource}"`);
  else parameters.push(`resource_metadata="${source.metadataUrl}"`);
  return `Bearer ${parameters.join(', ')}`;
}
