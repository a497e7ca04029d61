// Decisions: allow or deny, and the error that a denial is answered with.
import { GatewayError } from '../errors.ts';

export type DenialReason = 'denied' | 'insufficient_scope' | 'condition_error';

export type Decision =
  | { readonly allow: true; readonly rule: string; readonly requiredScopes: readonly string[] }
  | {
      readonly allow: false;
      readonly reason: DenialReason;
      /** The governing rule; undefined when none matched. */
      readonly rule: string | undefined;
      readonly requiredScopes: readonly string[];
      readonly missingScopes: readonly string[];
    };

/**
 * The error of a denial. It names missing scopes only where they would help. Denied by a rule or by none, and whether the target exists, reads the same.
 * The same denial has the same words, as clients compare it.
 */
export function denial(decision: Decision & { allow: false }): GatewayError {
  const { missingScopes, requiredScopes, reason, rule } = decision;
  switch (reason) {
    case 'insufficient_scope':
      return new GatewayError('insufficient_scope', sentenceOf(missingScopes), { missingScopes, requiredScopes });
    case 'condition_error':
      return new GatewayError(
        'condition_error',
        'The rule for this call cannot be applied to these arguments. Check their fields and types and call again, or ask the operator of this gateway.',
      );
    case 'denied':
      return new GatewayError(
        'denied',
        'No rule of this gateway allows this client to make this call with these arguments. Do not repeat it unchanged; if it is needed, ask the operator of this gateway.',
        { reason: rule === undefined ? 'no_rule' : 'rule' },
      );
  }
}

function sentenceOf(scopes: readonly string[]): string {
  const [scope, these] = scopes.length === 1 ? ['scope', 'this scope'] : ['scopes', 'these scopes'];
  return `This call needs the ${scope} ${scopes.join(' ')}. Ask for a token with ${these} and call again; a key gets its scopes from the operator of this gateway.`;
}
