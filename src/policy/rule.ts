// A compiled policy: what `decide` walks. Built once per configuration snapshot, immutable, shared by all requests of a route.

import type { Caller } from '../authn/principal.ts';
import type { Effect, Selector } from './attributes.ts';
import { type Condition, compileCondition } from './condition.ts';
import type { TargetSelector } from './selectors/target.ts';

export interface Rule {
  /** As configured, or its place, such as `rules[2]`. */
  readonly name: string;
  readonly effect: Effect;
  /** What the rule is about; undefined: everything. */
  readonly target: TargetSelector | undefined;
  /** Who it is about, and on path routes also what; all must match. */
  readonly selectors: readonly Selector[];
  /** Evaluated after the selectors. */
  readonly when: Condition | undefined;
  readonly require: Requirement;
}

export interface Policy {
  /** On an MCP route some methods need no rule. */
  readonly kind: 'mcp' | 'path';
  readonly rules: readonly Rule[];
  /** The tools that the rules name without a glob: a closed list for metric labels. */
  readonly toolNames: ReadonlySet<string>;
}

/** The scopes that the rules speak of, without duplicates: what a client may be told to ask for first. Of `anyScope` the first. */
export function scopesOf(policy: Policy): string[] {
  return [...new Set(policy.rules.flatMap(({ require }) => [...require.scopes, ...require.anyScope.slice(0, 1)]))];
}

export interface RequirementConfig {
  readonly scopes?: readonly string[] | undefined;
  readonly anyScope?: readonly string[] | undefined;
  readonly authenticatedBy?: readonly string[] | undefined;
  readonly senderConstrained?: boolean | undefined;
  readonly when?: string | undefined;
}

export interface Requirement {
  /** All of them. */
  readonly scopes: readonly string[];
  /** One of them; empty when nothing is demanded. */
  readonly anyScope: readonly string[];
  /** All of these authenticators must have verified a credential. */
  readonly authenticatedBy: readonly string[];
  /** The caller's credential must be of no use to anybody else. */
  readonly senderConstrained: boolean;
  readonly when: Condition | undefined;
}

/** Throws an Error with a public message when the condition cannot be used. */
export function compileRequirement(config: RequirementConfig = {}): Requirement {
  return {
    scopes: [...new Set(config.scopes)],
    anyScope: [...new Set(config.anyScope)],
    authenticatedBy: config.authenticatedBy ?? [],
    senderConstrained: config.senderConstrained ?? false,
    when: config.when === undefined ? undefined : compileCondition(config.when),
  };
}

const nothing: readonly string[] = [];

/** The scopes the call takes; of `anyScope` the one that the caller has, or else the first, which a client should ask for. */
export function requiredScopes(requirement: Requirement, granted: readonly string[]): readonly string[] {
  const { scopes, anyScope } = requirement;
  const [first] = anyScope;
  if (first === undefined) return scopes;
  return [...scopes, anyScope.find((scope) => granted.includes(scope)) ?? first];
}

/** Those of the scopes that the caller does not have. */
export function missingScopes(required: readonly string[], granted: readonly string[]): readonly string[] {
  return required.every((scope) => granted.includes(scope))
    ? nothing
    : required.filter((scope) => !granted.includes(scope));
}

/** Whether who calls, and by what, is what the rule demands: nothing that more scope would cure. */
export function hasDemandedCredentials(requirement: Requirement, caller: Caller | undefined): boolean {
  if (requirement.senderConstrained && caller?.senderConstrained !== true) return false;
  return requirement.authenticatedBy.every((name) => caller?.authenticatedBy.includes(name) === true);
}
