// Readings of an explanation in words: selectors, conditions, demands, and the decision that no rule made.
import type { Decision } from '../../policy/decision.ts';
import type {
  ConditionReading,
  DemandReading,
  PartReading,
  RuleReading,
  SelectorReading,
} from '../../policy/explain.ts';
import type { CredentialReading } from './credential-reading.ts';
import type { RequestExplanation } from './request-explanation.ts';

/** Shortens a value. */
export type Shorten = (text: string) => string;

/** The reason of a decision that no rule made. */
export const otherwiseWords: Readonly<Record<NonNullable<PartReading['otherwise']>, string>> = {
  open: 'no rule matches; the method is open to every caller of the route',
  no_rule: 'no rule matches, and what no rule allows is denied',
  unknown_member: 'the message has a member that MCP does not define for its method',
};

/** True for a credential that counts, false for one that does not, undefined where that was not found out. */
export const countsByState: Readonly<Record<CredentialReading['state'], boolean | undefined>> = {
  verified: true,
  stated: true,
  refused: false,
  unavailable: false,
  decoded: undefined,
  not_looked_at: undefined,
};

/** The outcome of a rule that matches. */
export function outcomeWords(reading: RuleReading): string {
  const { decision, outcome } = reading;
  if (outcome === 'error') return isUntold(reading) ? 'cannot be told' : 'errs, and so denies';
  return outcome === 'reports' ? `would ${decision?.allow ? 'allow' : 'deny'}` : outcome;
}

/** The code of a refusal, and its recorded reason where that is another word; empty for an allowed request. */
export function refusalWords({ code, reason }: Pick<RequestExplanation, 'code' | 'reason'>): string {
  return code === undefined || reason === undefined || reason === code
    ? (code ?? '')
    : `${code} (recorded reason ${reason})`;
}

/** A selector, and the value of the call that it is compared with. */
export function selectorWords({ had, matches, wanted }: SelectorReading, shorten: Shorten): string {
  const call = had === undefined ? 'the call has none' : `the call has ${shorten(valueWords(had))}`;
  return `${wantedWords(wanted, shorten).join(', ')}; ${matches === 'error' ? 'cannot be told' : call}`;
}

/** The keys of a selector with their values. */
export function wantedWords(wanted: SelectorReading['wanted'], shorten: Shorten): string[] {
  return Object.entries(wanted).map(([key, value]) => `${key} ${shorten(valueWords(value))}`);
}

/** A condition and its value. */
export function conditionWords({ problem, result, source }: ConditionReading): string {
  const why = problem === undefined ? '' : `: ${problem}`;
  return `when ${sourceWords(source)}  is ${result}${why}`;
}

/** The text of a condition, unless something was put into it. */
export function sourceWords(source: string | undefined): string {
  return source ?? '(a condition with an interpolated value)';
}

/** A demand, and the state of the caller. */
export function demandWords(demand: DemandReading): string {
  switch (demand.demand) {
    case 'authenticatedBy':
      return `authenticatedBy ${demand.wanted.join(', ')}; the caller has ${demand.had.join(', ') || 'none'}`;
    case 'senderConstrained':
      return `senderConstrained; the credential is ${demand.met ? 'bound' : 'not bound to its sender'}`;
    case 'when':
      return conditionWords(demand.when);
    default:
      return `${demand.demand} ${demand.scopes.map(({ scope, state }) => `${scope} (${state})`).join(', ')}`;
  }
}

/** The reason for which a rule does not match; undefined where it does. */
export function mismatchWords({ outcome, selectors, when }: RuleReading, shorten: Shorten): string | undefined {
  if (outcome !== 'no_match') return undefined;
  const failed = selectors.find(({ matches }) => matches !== true);
  return failed === undefined ? conditionWords(when!) : selectorWords(failed, shorten);
}

/** A decision in a sentence. */
export function decisionWords(decision: Decision): string {
  const { rule } = decision;
  const by = rule === undefined ? '' : ` by rule ${rule}`;
  if (decision.allow) return `allowed${by}`;
  const { message, missingScopes, reason, unmet } = decision;
  const why = unmet === undefined ? '' : `: ${unmet} is not met`;
  const missing = missingScopes.length === 0 ? '' : `, missing ${missingScopes.join(' ')}`;
  const told = message === undefined ? '' : `; the caller is told: ${message}`;
  return `${reason}${by}${why}${missing}${told}`;
}

/** A value of a configuration or call in a line. */
function valueWords(value: unknown): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return value.map(valueWords).join(', ');
  if (typeof value === 'object' && value !== null)
    return Object.entries(value)
      .map(([key, each]) => `${key} ${valueWords(each)}`)
      .join(', ');
  return String(value);
}

/** A rule whose test reads what a record does not hold. */
export function isUntold({ demands, selectors, when }: RuleReading): boolean {
  const conditions = [when, ...demands.map((demand) => (demand.demand === 'when' ? demand.when : undefined))];
  return (
    selectors.some(({ matches }) => matches === 'error') ||
    conditions.some((condition) => condition?.problem?.startsWith('not recorded'))
  );
}
