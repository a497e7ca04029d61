// What the governing rule demands of a request it allows: `scopes`, `anyScope`, `authenticatedBy`, `senderConstrained` and `when`.
import type { Caller } from '../authn/principal.ts';
import { type Condition, compileCondition } from './condition.ts';

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
