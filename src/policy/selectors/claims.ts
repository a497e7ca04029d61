// The `claims` selector: accepted values of the claims that a token carries.
import * as z from 'zod';
import { suggestion } from '../../config/schema/suggestion.ts';
import { claimValue, text } from '../../config/schema/values.ts';
import { type ConfigOf, listCovers, type SelectorType, selectorOf } from './selector-type.ts';

const keys = {
  claims: z.record(text, z.array(claimValue).min(1)).optional().describe('Accepted values of configured claims.'),
};

export const claims = {
  keys,
  /** Only tokens carry claims, and of these only the configured ones are kept. */
  check({ claims: wanted }, { callers }, { error, show }) {
    if (wanted === undefined) return;
    if (callers === undefined) return error(['claims'], 'cannot be enforced with authenticate: none');
    const known = callers.claims;
    if (known === undefined) return;
    for (const claim of Object.keys(wanted).filter((each) => !known.includes(each))) {
      const near = suggestion(claim, known);
      const message = `no authenticator of this route has the claim ${show(claim)} in its claims${near}`;
      error(['claims', claim], message);
    }
  },
  /** A claim that is a list has each of its elements as a value. Nothing is converted: "1" is not 1. */
  compile({ claims: wanted }) {
    if (wanted === undefined) return undefined;
    const entries = Object.entries(wanted).map(([claim, values]) => ({ claim, values: new Set<unknown>(values) }));
    return selectorOf(
      ({ caller }) => {
        const present = caller?.principal.claims;
        if (present === undefined) return false;
        return entries.every(({ claim, values }) => {
          if (!Object.hasOwn(present, claim)) return false;
          const value = present[claim];
          return Array.isArray(value) ? value.some((element) => values.has(element)) : values.has(value);
        });
      },
      Object.entries(wanted).map(([claim, values]) => ({ [`claim ${claim}`]: values.map(textOfClaim) })),
    );
  },
  had({ caller }, { claims: wanted = {} }) {
    const present = caller?.principal.claims ?? {};
    const looked = Object.keys(wanted).filter((claim) => Object.hasOwn(present, claim));
    return looked.length === 0 ? undefined : Object.fromEntries(looked.map((claim) => [claim, present[claim]]));
  },
  covers: ({ claims: wider = {} }, { claims: narrower = {} }) =>
    Object.entries(wider).every(
      ([claim, values]) => Object.hasOwn(narrower, claim) && listCovers(values, narrower[claim]),
    ),
} satisfies SelectorType<ConfigOf<typeof keys>>;

/** Equal for equal values of a claim. An object is none that can be asked for, and its own `toString` is not called. */
export function textOfClaim(value: unknown): string {
  return typeof value === 'object' ? 'object' : `${typeof value} ${value}`;
}
