// Selects by the client that is calling: `clients: [ai_agent_prod]` or, qualified, `corp-oauth/ai_agent_prod`.

import { compilePathPattern } from '../../http/path-pattern.ts';
import { compileNetworks } from '../../ip-ranges.ts';
import type { Selector } from '../attributes.ts';

export interface ClientEntry {
  /** Undefined in a bare entry, which matches whichever authenticator named the client. */
  readonly authenticator: string | undefined;
  readonly clientId: string;
}

/**
 * Reads an entry. It is qualified when what stands before a `/` is a configured authenticator (the longest that fits); a client id may itself
 * hold slashes, as a client metadata URL does.
 */
export function parseClientEntry(entry: string, authenticators: readonly string[]): ClientEntry {
  let qualifier: string | undefined;
  for (const name of authenticators) {
    if (entry.startsWith(`${name}/`) && name.length > (qualifier?.length ?? -1)) qualifier = name;
  }
  if (qualifier === undefined) return { authenticator: undefined, clientId: entry };
  return { authenticator: qualifier, clientId: entry.slice(qualifier.length + 1) };
}

export function compileClients(entries: readonly string[], authenticators: readonly string[]): Selector {
  const bare = new Set<string>();
  const qualified = new Map<string, Set<string>>();
  for (const entry of entries) {
    const { authenticator, clientId } = parseClientEntry(entry, authenticators);
    if (authenticator === undefined) bare.add(clientId);
    else qualified.set(authenticator, (qualified.get(authenticator) ?? new Set()).add(clientId));
  }
  return ({ caller }) => {
    const clientId = caller?.principal.clientId;
    if (caller === undefined || clientId === undefined) return false;
    return bare.has(clientId) || qualified.get(caller.principal.authenticator)?.has(clientId) === true;
  };
}

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

/** Throws an Error that names a range that is none. */
export function compileNetworkSelector(ranges: readonly string[]): Selector {
  const contains = compileNetworks(ranges);
  return ({ client }) => contains(client.address);
}

/** HEAD follows GET. */
export function compileHttpMethods(methods: readonly string[]): Selector {
  const wanted = new Set(methods);
  if (wanted.has('GET')) wanted.add('HEAD');
  return ({ http }) => wanted.has(http.method);
}

export function compilePaths(patterns: readonly string[]): Selector {
  const compiled = patterns.map(compilePathPattern);
  return ({ http }) => compiled.some((pattern) => pattern.matches(http.path));
}
