// A denying decision as the error that a client sees.
import { GatewayError } from '../errors.ts';
import type { Decision } from './decision.ts';

/** Names the scopes that would help only where they would. The message is the same for the same denial, as clients compare it. */
export function denial(decision: Decision & { allow: false }): GatewayError {
  switch (decision.reason) {
    case 'insufficient_scope':
      return new GatewayError(
        'insufficient_scope',
        `This call needs a credential with the ${decision.missingScopes.length === 1 ? 'scope' : 'scopes'} ${decision.missingScopes.join(' ')}.`,
        { missingScopes: decision.missingScopes },
      );
    case 'condition_error':
      return new GatewayError(
        'condition_error',
        'The condition that governs this call does not apply to these arguments.',
      );
    case 'denied':
      return new GatewayError('denied', 'The policy of this gateway does not allow this call to this client.', {
        reason: decision.rule === undefined ? 'no_rule' : 'rule',
      });
  }
}
