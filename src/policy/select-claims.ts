// Selects by the principal's claims: `claims: {tenant: [acme]}`. Every claim named must have one of its values.
import type { Selector } from './selector.ts';

export type ClaimValue = string | number | boolean;

/** A claim that is a list has each of its elements as a value. Nothing is converted: "1" is not 1. */
export function compileClaims(claims: Readonly<Record<string, readonly ClaimValue[]>>): Selector {
  const wanted = Object.entries(claims).map(([claim, values]) => ({ claim, values: new Set<unknown>(values) }));
  return ({ caller }) => {
    const present = caller?.principal.claims;
    if (present === undefined) return false;
    return wanted.every(({ claim, values }) => {
      if (!Object.hasOwn(present, claim)) return false;
      const value = present[claim];
      return Array.isArray(value) ? value.some((element) => values.has(element)) : values.has(value);
    });
  };
}
