// May they? Facts and policy in, one decision out: pure, synchronous, and a denial unless a rule says otherwise.
import { type Condition, conditionVariables } from './condition.ts';
import type { Decision, DenialReason } from './decision.ts';
import type { Facts } from './facts.ts';
import { isOpen } from './open-methods.ts';
import type { Policy, Rule } from './policy.ts';
import { isAuthenticatedBy, missingScopes, requiredScopes } from './requirement.ts';
import { isDangerousUri } from './resource-uri.ts';

/**
 * The first rule whose selectors all match governs, whatever it then demands. Where none does, the open methods of an MCP route are allowed
 * (rule `open`) and everything else is denied.
 */
export function decide(facts: Facts, policy: Policy): Decision {
  const target = facts.message?.target;
  const unallowable = target?.kind === 'resource' && isDangerousUri(target.name);
  for (const rule of policy.rules) {
    if (unallowable && rule.effect === 'allow') continue;
    if (rule.target !== undefined && !rule.target.matches(facts)) continue;
    if (!rule.selectors.every((matches) => matches(facts))) continue;
    const governs = rule.when === undefined ? true : evaluate(rule.when, facts);
    if (governs === 'error') return deny('condition_error', rule, facts);
    if (governs) return rule.effect === 'deny' ? deny('denied', rule, facts) : demand(rule, facts);
  }
  return policy.kind === 'mcp' && isOpen(facts) ? open : noRule;
}

const open: Decision = { allow: true, rule: 'open', requiredScopes: [] };
const noRule: Decision = { allow: false, reason: 'denied', rule: undefined, requiredScopes: [], missingScopes: [] };

/** Scopes are named as missing only when nothing else is: a client must not be sent to fetch what would not help it. */
function demand(rule: Rule, facts: Facts): Decision {
  const { require } = rule;
  const met = require.when === undefined ? true : evaluate(require.when, facts);
  if (met === 'error') return deny('condition_error', rule, facts);
  if (!met || !isAuthenticatedBy(require, facts.caller)) return deny('denied', rule, facts);
  const granted = facts.caller?.scopes ?? [];
  const required = requiredScopes(require, granted);
  if (missingScopes(required, granted).length > 0) {
    return deny(facts.caller === undefined ? 'denied' : 'insufficient_scope', rule, facts);
  }
  return { allow: true, rule: rule.name, requiredScopes: required };
}

function deny(reason: DenialReason, rule: Rule, facts: Facts): Decision {
  const granted = facts.caller?.scopes ?? [];
  const required = requiredScopes(rule.require, granted);
  return {
    allow: false,
    reason,
    rule: rule.name,
    requiredScopes: required,
    missingScopes: missingScopes(required, granted),
  };
}

function evaluate(condition: Condition, facts: Facts): boolean | 'error' {
  try {
    return condition(conditionVariables(facts));
  } catch {
    return 'error';
  }
}
