// What the lists of a route show a caller: what it may use, and where the route says so what more scope would let it use.
import type { MetaTools } from '../mcp/meta-tools.ts';
import type { Listing } from '../mcp/methods.ts';
import type { Facts } from './attributes.ts';
import { type Condition, type ConditionVariables, unboundVariables } from './condition.ts';
import { anyToolThrough, exampleOf, type Item, itemOf, templateItem } from './list-item.ts';
import { hasDemandedCredentials, missingScopes, type Policy, type Rule, requiredScopes } from './rule.ts';
import { isDangerousUri } from './selectors/target.ts';

export interface ListPolicy {
  readonly policy: Policy;
  readonly lists: 'usable' | 'obtainable';
  readonly metaTools: MetaTools;
}

/**
 * Judges the items of lists for the caller of a request. A tool that calls other tools is shown where it reaches any; a template that is malformed
 * never is.
 */
export function showsItem(
  facts: Facts,
  { policy, lists, metaTools }: ListPolicy,
): (listing: Listing, name: string) => boolean {
  // A list may come in the answer to a GET; what it shows is called by POST.
  const call = { ...facts, http: { method: 'POST', path: facts.http.path } };
  return (listing, name) => {
    const item = itemIn(listing, name, metaTools);
    const usability = item === undefined ? 'hidden' : usabilityOf(item, call, policy);
    return usability === 'usable' || (usability === 'obtainable' && lists === 'obtainable');
  };
}

function itemIn({ kind, key }: Listing, name: string, metaTools: MetaTools): Item | undefined {
  if (key === 'uriTemplate') return templateItem(name);
  if (kind !== 'tool' || !metaTools.calls.has(name)) return itemOf(kind, name);
  return anyToolThrough(name, new Set([...metaTools.calls.keys(), ...metaTools.searches.keys()]));
}

/** `usable`: some call may be allowed; `obtainable`: with more scopes; `hidden`: `decide` denies every call, whatever its arguments. */
export type Usability = 'usable' | 'obtainable' | 'hidden';

/** Over arguments, and over the names that an item stands for. */
type Holds = 'always' | 'perhaps' | 'never' | 'error';

/**
 * Walks the rules for an item. A rule that matches only some of its calls governs those, and the walk goes on for the others. A condition that
 * cannot be told without arguments may go either way, so an item whose conditions nobody can meet may be called usable.
 */
export function usabilityOf(item: Item, facts: Facts, policy: Policy): Usability {
  const unallowable = item.kind === 'resource' && isDangerousUri(exampleOf(item));
  const variables = unboundVariables(facts, toolOf(item));
  let best: Usability = 'hidden';
  for (const rule of policy.rules) {
    if (unallowable && rule.effect === 'allow') continue;
    const covered = rule.target === undefined ? 'all' : rule.target.covers(item);
    if (covered === 'none' || !rule.selectors.every((matches) => matches(facts))) continue;
    const holds = rule.when === undefined ? 'always' : judge(rule.when, variables);
    if (holds === 'never') continue;
    if (holds !== 'error' && rule.effect === 'allow') best = better(best, demand(rule, facts, variables));
    if (best === 'usable' || (covered === 'all' && holds !== 'perhaps')) return best;
  }
  return best;
}

function toolOf({ kind, pattern }: Item): string | undefined {
  if (kind !== 'tool') return '';
  return pattern.length === 1 ? pattern[0] : undefined;
}

function better(one: Usability, other: Usability): Usability {
  return other === 'hidden' ? one : other;
}

function demand({ require }: Rule, facts: Facts, variables: ConditionVariables): Usability {
  const holds = require.when === undefined ? 'always' : judge(require.when, variables);
  if (holds === 'never' || holds === 'error' || !hasDemandedCredentials(require, facts.caller)) return 'hidden';
  const granted = facts.caller?.scopes ?? [];
  if (missingScopes(requiredScopes(require, granted), granted).length === 0) return 'usable';
  return facts.caller === undefined ? 'hidden' : 'obtainable';
}

/**
 * An expression with `args` unbound is true or false whatever they are, or it throws. What it throws need not be about them: with arguments
 * that decide it, it might never have come to what it stumbled over. So it is an error for all only when it does not read what is unbound.
 */
function judge(condition: Condition, variables: ConditionVariables): Holds {
  try {
    return condition(variables) ? 'always' : 'never';
  } catch {
    const unknown = condition.names.has('args') || (variables.tool === undefined && condition.names.has('tool'));
    return unknown ? 'perhaps' : 'error';
  }
}
