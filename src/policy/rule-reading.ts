// Reading of a rule for one call: its selectors, condition and demands, and the decision that they come to. Pure and total.
import type { Caller } from '../authn/caller/principal.ts';
import { intersectScopes } from '../authn/caller/scopes.ts';
import type { Attributes } from './attributes.ts';
import type { Condition } from './condition/condition.ts';
import type { ConditionProblem } from './condition/evaluation.ts';
import type { Decision } from './decision.ts';
import type { Requirement } from './requirement.ts';
import type { Rule } from './rule.ts';
import type { Effect, Selector } from './selectors/selector-type.ts';
import { holds } from './selectors/when.ts';

/** The reading of a rule. */
export interface RuleReading {
  readonly rule: string;
  readonly effect: Effect;
  readonly mode: Rule['mode'];
  /** `error`: a selector or condition has no answer, and the rule denies the call. `reports`: it would govern, were it enforced. */
  readonly outcome: 'governs' | 'reports' | 'no_match' | 'error' | 'not_reached';
  /** Of a rule that was not reached none. */
  readonly selectors: readonly SelectorReading[];
  /** Undefined without a condition, and where a selector failed. */
  readonly when: ConditionReading | undefined;
  /** Of a rule that matches or errs. */
  readonly demands: readonly DemandReading[];
  /** Undefined of a rule that does not match or was not reached. */
  readonly decision: Decision | undefined;
}

/** A selector and what it found. */
export interface SelectorReading extends Pick<Selector, 'wanted'> {
  readonly had: unknown;
  readonly matches: boolean | 'error';
}

/** A condition and its answer. */
export interface ConditionReading {
  /** Undefined where the text has a part from the environment or a file. */
  readonly source: string | undefined;
  readonly result: boolean | 'error';
  /** The reason of an error. */
  readonly problem?: ConditionProblem | string | undefined;
}

/** A demand of `require`. */
export type DemandReading = { readonly met: boolean } & (
  | { readonly demand: 'authenticatedBy'; readonly wanted: readonly string[]; readonly had: readonly string[] }
  | { readonly demand: 'senderConstrained' }
  | { readonly demand: 'when'; readonly when: ConditionReading }
  | { readonly demand: 'scopes' | 'anyScope'; readonly scopes: readonly ScopeReading[] }
);

/** A demanded scope: granted, implied by a granted one, granted by one credential and capped by another or by `maxScopes`, or missing. */
export interface ScopeReading {
  readonly scope: string;
  readonly state: 'held' | 'implied' | 'capped' | 'missing';
}

/** Of a rule behind the governing one. */
export function unread({ name, effect, mode }: Rule): RuleReading {
  const outcome = 'not_reached';
  return { rule: name, effect, mode, outcome, selectors: [], when: undefined, demands: [], decision: undefined };
}

/** Reads a rule for a call. `stated` are the scopes that the token names itself. */
export function readRule(rule: Rule, attributes: Attributes, stated: readonly string[]): RuleReading {
  const { effect, mode, require } = rule;
  const selectors = rule.selectors.map((selector) => readSelector(selector, attributes));
  // They are tried in order, and the first that fails or errs ends it.
  const failed = selectors.find(({ matches }) => matches !== true)?.matches;
  const when = failed === undefined ? rule.when && readCondition(rule.when, attributes) : undefined;
  const result = failed ?? when?.result ?? true;
  if (result === false) return { ...unread(rule), outcome: 'no_match', selectors, when };
  // A rule that errs evaluates nothing more.
  const demanded = result === 'error' ? { ...require, when: undefined } : require;
  const demands = effect === 'deny' ? [] : readDemands(demanded, attributes, stated);
  const matched = mode === 'enforce' ? 'governs' : 'reports';
  const outcome = result === 'error' ? result : matched;
  return {
    ...unread(rule),
    outcome,
    selectors,
    when,
    demands,
    decision: decisionOf(rule, outcome, demands, attributes),
  };
}

function readSelector({ wanted, had, matches }: Selector, attributes: Attributes): SelectorReading {
  return {
    wanted,
    had: orElse(() => had(attributes), undefined),
    matches: orElse(() => matches(attributes), 'error' as const),
  };
}

function orElse<T, E>(read: () => T, otherwise: E): T | E {
  try {
    return read();
  } catch {
    return otherwise;
  }
}

function readCondition(condition: Condition, attributes: Attributes): ConditionReading {
  const { source } = condition;
  try {
    return { source, result: holds(condition, attributes) };
  } catch (error) {
    // The library's message repeats a part of the text.
    const said = source === undefined ? undefined : (error as Error).message?.split('\n')[0];
    return { source, result: 'error', problem: attributes.evaluation.error?.problem ?? said };
  }
}

/** In the order in which an unmet one is named. */
function readDemands(require: Requirement, attributes: Attributes, stated: readonly string[]): DemandReading[] {
  const { caller } = attributes;
  const demands: DemandReading[] = [];
  const { authenticatedBy: wanted, senderConstrained, when, scopes, anyScope } = require;
  if (wanted.length > 0) {
    const had = caller?.authenticatedBy ?? [];
    demands.push({ demand: 'authenticatedBy', wanted, had, met: wanted.every((name) => had.includes(name)) });
  }
  if (senderConstrained) demands.push({ demand: 'senderConstrained', met: caller?.senderConstrained === true });
  if (when !== undefined) {
    const reading = readCondition(when, attributes);
    demands.push({ demand: 'when', when: reading, met: reading.result === true });
  }
  for (const demand of ['scopes', 'anyScope'] as const) {
    if (require[demand].length === 0) continue;
    const readings = { scopes, anyScope }[demand].map((scope) => readScope(scope, caller, stated));
    const met = demand === 'scopes' ? readings.every(isGranted) : readings.some(isGranted);
    demands.push({ demand, scopes: readings, met });
  }
  return demands;
}

function readScope(scope: string, caller: Caller | undefined, stated: readonly string[]): ScopeReading {
  const { principal, certificate, scopes = [] } = caller ?? {};
  const granted = intersectScopes(principal?.scopes, certificate?.scopes);
  if (scopes.includes(scope)) return { scope, state: granted.includes(scope) ? 'held' : 'implied' };
  const named = [...stated, ...(principal?.scopes ?? []), ...(certificate?.scopes ?? [])];
  return { scope, state: named.includes(scope) ? 'capped' : 'missing' };
}

function isGranted({ state }: ScopeReading): boolean {
  return state === 'held' || state === 'implied';
}

function decisionOf(
  { name: rule, effect, message }: Rule,
  outcome: RuleReading['outcome'],
  demands: readonly DemandReading[],
  { caller, evaluation }: Attributes,
): Decision {
  const required = demands.flatMap(requiredScopes);
  const requiredNames = required.map(({ scope }) => scope);
  const missing = required.filter((scope) => !isGranted(scope)).map(({ scope }) => scope);
  const denied = { allow: false, rule, requiredScopes: requiredNames, missingScopes: missing } as const;
  const hasError = demands.some((each) => each.demand === 'when' && each.when.result === 'error');
  if (outcome === 'error' || hasError) {
    const told = outcome === 'error' ? undefined : message;
    return { ...denied, reason: 'condition_error', message: told, problem: evaluation.error?.problem };
  }
  if (effect === 'deny') return { ...denied, reason: 'denied', message };
  const unmet = demands.find(({ met }) => !met)?.demand;
  if (unmet === undefined) return { allow: true, rule, requiredScopes: requiredNames };
  const isCured = caller !== undefined && (unmet === 'scopes' || unmet === 'anyScope');
  return { ...denied, reason: isCured ? 'insufficient_scope' : 'denied', message, unmet };
}

/** Of `anyScope` the one that the caller has, or else the first. */
function requiredScopes(demand: DemandReading): readonly ScopeReading[] {
  if (demand.demand === 'scopes') return demand.scopes;
  if (demand.demand !== 'anyScope') return [];
  return [demand.scopes.find(isGranted) ?? demand.scopes[0]!];
}
