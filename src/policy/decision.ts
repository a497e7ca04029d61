// Decisions: allow or deny, and the error that a denial is answered with.
import { GatewayError } from '../errors.ts';
import type { ConditionProblem } from './condition/evaluation.ts';
import type { Demand } from './requirement.ts';

export type DenialReason = 'denied' | 'insufficient_scope' | 'condition_error';

export type Decision = Allowed | Denied;

/** A permission. */
export interface Allowed {
  readonly allow: true;
  readonly rule: string;
  readonly requiredScopes: readonly string[];
  /** Names of the limits of the governing rules; undefined without any. */
  readonly limits?: readonly string[];
  readonly reports?: Reports;
}

/** The decisions of the rules in report mode that stand before the governing rule and match, one a rule, in their order; undefined without any. */
export type Reports = readonly Decision[] | undefined;

/** A denial. */
export interface Denied {
  readonly allow: false;
  readonly reason: DenialReason;
  /** The governing rule; undefined when none matched. */
  readonly rule: string | undefined;
  readonly requiredScopes: readonly string[];
  readonly missingScopes: readonly string[];
  /** The demand of the governing rule that was not met. */
  readonly unmet?: Demand | undefined;
  /** The governing rule's own sentence. */
  readonly message?: string | undefined;
  /** The message has a member that may name something, and no rule allows that. */
  readonly unknownMember?: true;
  /** Of `condition_error`, where CEL itself had no error. */
  readonly problem?: ConditionProblem | undefined;
  readonly reports?: Reports;
}

/** The decision of no rule on an open method. */
export const open: Decision = { allow: true, rule: 'open', requiredScopes: [] };
/** The denial by default. */
export const noRule: Denied = {
  allow: false,
  reason: 'denied',
  rule: undefined,
  requiredScopes: [],
  missingScopes: [],
};
/** The denial of a member that no rule allows. */
export const unknownMember: Denied = { ...noRule, unknownMember: true };

/** The decision with the reports of the rules that only report. */
export function withReports(reports: Reports, decision: Decision): Decision {
  return reports === undefined ? decision : { ...decision, reports };
}

/**
 * The error of a denial. It names missing scopes only where they would help. Denied by a rule or by none, and whether the target exists, reads the same, unless
 * the rule has a message of its own. The same denial has the same words, as clients compare it.
 */
export function denial(decision: Denied): GatewayError {
  const { missingScopes, requiredScopes, reason, rule, unmet, message, unknownMember, problem } = decision;
  switch (reason) {
    case 'insufficient_scope':
      return new GatewayError('insufficient_scope', message ?? sentenceOf(missingScopes), {
        missingScopes,
        requiredScopes,
        detail: { unmet },
      });
    case 'condition_error':
      return new GatewayError(
        'condition_error',
        problem === undefined
          ? (message ??
              'The rule for this call cannot be applied to these arguments. Check their fields and types and call again, or ask the operator of this gateway.')
          : adviceOn[problem],
        problem && { detail: { condition: { problem } } },
      );
    case 'denied':
      if (unknownMember) return memberDenial();
      return new GatewayError(
        'denied',
        message ??
          'No rule of this gateway allows this client to make this call with these arguments. Do not repeat it unchanged; if it is needed, ask the operator of this gateway.',
        { reason: rule === undefined ? 'no_rule' : 'rule', ...(unmet !== undefined && { detail: { unmet } }) },
      );
  }
}

function memberDenial(): GatewayError {
  return new GatewayError(
    'denied',
    'This message has a member that MCP does not define for its method, and what it names cannot be judged. Send it without that member; if it is needed, ask the operator of this gateway.',
    { reason: 'unknown_member', detail: { message: { problem: 'unknown_member' } } },
  );
}

const tooMuch =
  'The rule for this call cannot be applied to so many arguments. Send less in one call, or ask the operator of this gateway.';
const adviceOn: Readonly<Record<ConditionProblem, string>> = {
  ambiguous_name:
    'The arguments have a name in a spelling that some servers take for another name. Send each name once, as the schema of the tool spells it.',
  inexact_number:
    'The arguments have a number that some servers read as another one. Send whole numbers up to 9007199254740991 and decimals of at most 15 digits.',
  too_many_steps: tooMuch,
  too_many_values: tooMuch,
};

function sentenceOf(scopes: readonly string[]): string {
  const [scope, these] = scopes.length === 1 ? ['scope', 'this scope'] : ['scopes', 'these scopes'];
  return `This call needs the ${scope} ${scopes.join(' ')}. Ask for a token with ${these} and call again; a key gets its scopes from the operator of this gateway.`;
}
