// Decision of an audit record, as the gateway came to it then.

import type { AuditRecord } from '../../audit/reading/record.ts';
import { statusOfCode } from '../../errors.ts';

/**
 * `allow` and `deny` are decisions of the policy. `refused`: the request never came to a decision, as it was refused before one for `reason`. `none`:
 * the record tells of no decision.
 */
export type ReadDecision =
  | { readonly kind: 'allow' | 'deny' }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'none' };

const denials: ReadonlySet<string | undefined> = new Set(['denied', 'insufficient_scope', 'condition_error']);

/** The kind of decision that a record tells of. A failure behind the decision, such as a busy upstream, leaves it a permission. */
export function recordedDecision({ decision, http, reason, rule, scopes }: AuditRecord): ReadDecision {
  if (http?.path === undefined || decision === undefined) return { kind: 'none' };
  // A preflight, and a client that left before the decision.
  if (decision === 'allow') return { kind: rule === undefined ? 'none' : 'allow' };
  // A refused definition is the upstream's, which may have changed again.
  if (scopes === undefined || reason === 'definition_changed') {
    if (reason === undefined) return { kind: 'none' };
    // An altered log may hold any text.
    return { kind: 'refused', reason: Object.hasOwn(statusOfCode, reason) ? reason : 'another reason' };
  }
  return { kind: denials.has(reason) ? 'deny' : 'allow' };
}

/** True for a denial of a caller that the upstream could not be told of, which the policy had allowed. */
export function isOfIdentity({ detail, principal, reason, rule }: AuditRecord): boolean {
  const { identity, unmet } = Object(detail) as { identity?: unknown; unmet?: unknown };
  const isNamed = rule !== undefined && unmet === undefined;
  return reason === 'denied' && isNamed && (identity !== undefined || principal === undefined);
}

/** Refusals that the new file alone decides anew: of the route, and of credentials. */
const ofRouteOrCredentials = new Set([
  'not_found',
  'method_not_allowed',
  'credentials_required',
  'invalid_token',
  'invalid_api_key',
  'invalid_certificate',
  'denied',
]);

/** True where a request that was refused for this reason might still be refused for it, whatever the policy says. */
export function mayBeRefusedStill(reason: string): boolean {
  return !ofRouteOrCredentials.has(reason);
}
