// The requirement of a rule: what it demands of a call that it governs and would allow.
import * as z from 'zod';
import type { Caller } from '../authn/caller/principal.ts';
import { suggestion } from '../config/schema/suggestion.ts';
import { authenticatorName, condition, scopes } from '../config/schema/values.ts';
import type { Condition } from './condition/condition.ts';
import { contextBelow, type PolicyContext, type RuleContext } from './selectors/selector-type.ts';
import { compileWhen } from './selectors/when.ts';

export const requirement = z.strictObject({
  scopes: scopes.optional().describe('All of these scopes.'),
  anyScope: scopes.min(1).optional().describe('At least one of these scopes.'),
  authenticatedBy: z
    .array(authenticatorName)
    .min(1)
    .optional()
    .describe('A credential of each of these authenticators.'),
  senderConstrained: z
    .boolean()
    .optional()
    .describe('The token must be bound to its sender; a client certificate that acts by itself is.'),
  when: condition.optional().describe('A CEL condition that must hold.'),
});

export type RequirementConfig = z.output<typeof requirement>;

/** A compiled requirement. */
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

export const noRequirement: Requirement = {
  scopes: [],
  anyScope: [],
  authenticatedBy: [],
  senderConstrained: false,
  when: undefined,
};

/** Reports a condition that cannot be compiled, and demands that no caller of the route can meet. */
export function compileRequirement(config: RequirementConfig, context: RuleContext): Requirement {
  checkCredentials(config, context);
  return {
    scopes: [...new Set(config.scopes)],
    anyScope: [...new Set(config.anyScope)],
    authenticatedBy: config.authenticatedBy ?? [],
    senderConstrained: config.senderConstrained ?? false,
    when: compileWhen(config.when, contextBelow(context, 'when')),
  };
}

function checkCredentials(config: RequirementConfig, { route, authenticators, error, show }: PolicyContext): void {
  if (route === undefined) return;
  const { callers } = route;
  if (callers === undefined) {
    for (const key of ['scopes', 'anyScope', 'authenticatedBy', 'senderConstrained'] as const) {
      if (config[key] !== undefined && config[key] !== false) error([key], 'can never be met with authenticate: none');
    }
    return;
  }
  config.authenticatedBy?.forEach((name, index) => {
    if (callers.authenticators.includes(name)) return;
    const message = authenticators.includes(name)
      ? `can never be met: ${route.place}.authenticate does not name ${show(name)}; add it to optional`
      : `unknown authenticator ${show(name)}${suggestion(name, authenticators)}`;
    error(['authenticatedBy', index], message);
  });
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

/** A kind of demand, by its key. */
export type Demand = keyof Requirement;

/** The demand on the caller's credentials that is not met. More scope would not cure it. */
export function unmetCredential(requirement: Requirement, caller: Caller | undefined): Demand | undefined {
  if (!requirement.authenticatedBy.every((name) => caller?.authenticatedBy.includes(name))) return 'authenticatedBy';
  return requirement.senderConstrained && caller?.senderConstrained !== true ? 'senderConstrained' : undefined;
}

/** The demand on scopes that is not met. */
export function unmetScope({ scopes, anyScope }: Requirement, granted: readonly string[]): Demand | undefined {
  if (!scopes.every((scope) => granted.includes(scope))) return 'scopes';
  return anyScope.length === 0 || anyScope.some((scope) => granted.includes(scope)) ? undefined : 'anyScope';
}
