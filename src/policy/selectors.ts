// Selects by the client that is calling: `clients: [ai_agent_prod]` or, qualified, `corp-oauth/ai_agent_prod`.
import type { Selector } from './selector.ts';

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
