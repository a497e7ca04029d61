// Visibility of list items: those that the caller may use, and where the route says so those that more scope would let it use.
import type { MetaTools } from '../mcp/meta-tools.ts';
import type { Listing } from '../mcp/methods.ts';
import type { Attributes } from './attributes.ts';
import type { Coverage } from './glob.ts';
import { anyToolThrough, itemOf, type ListItem, templateItem } from './list-item.ts';
import { unmetCredential, unmetScope } from './requirement.ts';
import type { Policy, Rule } from './rule.ts';
import { rulesOfItem } from './rule-index.ts';
import { type ConditionCoverage, coverageOf as conditionCoverageOf } from './selectors/when.ts';

/** The policy and settings of the lists of a route. */
export interface ListPolicy {
  readonly policy: Policy;
  readonly lists: 'usable' | 'obtainable';
}

/**
 * Judges the items of lists for the caller of a request. A tool that calls other tools is shown where it reaches any; a template that is malformed
 * never is.
 */
export function showsItem(
  attributes: Attributes,
  { policy, lists }: ListPolicy,
): (listing: Listing, name: string) => boolean {
  // A list may come in the answer to a GET; what it shows is called by POST.
  const call = { ...attributes, http: { method: 'POST', path: attributes.http.path } };
  return (listing, name) => {
    const item = itemIn(listing, name, policy.metaTools);
    const usability = item === undefined ? 'hidden' : usabilityOf(item, call, policy);
    return usability === 'usable' || (usability === 'obtainable' && lists === 'obtainable');
  };
}

function itemIn({ kind, key }: Listing, name: string, metaTools: MetaTools): ListItem | undefined {
  if (key === 'uriTemplate') return templateItem(name);
  if (kind !== 'tool' || !metaTools.calls.has(name)) return itemOf(kind, name);
  return anyToolThrough(name, new Set([...metaTools.calls.keys(), ...metaTools.searches.keys()]));
}

/** `usable`: some call may be allowed; `obtainable`: with more scopes; `hidden`: `decide` denies every call, whatever its arguments. */
export type Usability = 'usable' | 'obtainable' | 'hidden';

/**
 * Walks the rules for an item. A rule that matches only some of its calls governs those, and the walk goes on for the others. A condition that
 * cannot be told without arguments may go either way, so an item whose conditions nobody can meet may be called usable.
 */
export function usabilityOf(item: ListItem, attributes: Attributes, policy: Policy): Usability {
  let best: Usability = 'hidden';
  for (const position of rulesOfItem(item, attributes, policy.index)) {
    const rule = policy.rules[position]!;
    const covered = coverageOf(rule, item, attributes);
    if (covered === 'none') continue;
    if (covered !== 'error' && rule.effect === 'allow') best = better(best, demand(rule, item, attributes));
    if (best === 'usable' || covered !== 'some') return best;
  }
  return best;
}

/** The share of an item's calls that a rule decides; `error`: it denies all of them. A rule that errs for some of them allows none. */
function coverageOf({ selectors, when }: Rule, item: ListItem, attributes: Attributes): ConditionCoverage {
  let covered: Coverage = 'all';
  for (const selector of selectors) {
    const part = selector.coverageOf(item, attributes);
    if (part === 'none') return 'none';
    if (part === 'some') covered = 'some';
  }
  if (when === undefined) return covered;
  const met = conditionCoverageOf(when, item, attributes);
  if (met === 'error') return covered === 'all' ? 'error' : 'none';
  return met === 'all' ? covered : met;
}

function better(one: Usability, other: Usability): Usability {
  return other === 'hidden' ? one : other;
}

function demand({ require }: Rule, item: ListItem, attributes: Attributes): Usability {
  const { caller } = attributes;
  const met = require.when === undefined ? 'all' : conditionCoverageOf(require.when, item, attributes);
  if (met === 'none' || met === 'error' || unmetCredential(require, caller) !== undefined) return 'hidden';
  if (unmetScope(require, caller?.scopes ?? []) === undefined) return 'usable';
  return caller === undefined ? 'hidden' : 'obtainable';
}
