// What the lists of a route show a caller: what it may use, and where the route says so what more scope would let it use.
import type { MetaTools } from '../mcp/meta-tools.ts';
import type { Listing } from '../mcp/methods.ts';
import type { Facts } from './attributes.ts';
import { anyToolThrough, type Item, itemOf, templateItem } from './list-item.ts';
import type { Policy } from './rule.ts';
import { usabilityOf } from './usable.ts';

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
