// The `clients` selector: the client that acts, as `ai_agent_prod` or, qualified, as `corp-oauth/ai_agent_prod`.
import * as z from 'zod';
import { nearest, suggestion } from '../../config/schema/suggestion.ts';
import { text } from '../../config/schema/values.ts';
import { type ConfigOf, listCovers, type SelectorType, selectorOf } from './selector-type.ts';

const keys = {
  clients: z.array(text).min(1).optional().describe('Client ids, or authenticator/client-id.'),
};

export const clients = {
  keys,
  check({ clients: entries }, { callers }, { authenticators, error, warn, show }) {
    if (entries === undefined) return;
    if (callers === undefined) return error(['clients'], 'cannot be enforced with authenticate: none');
    const { acting } = callers;
    entries.forEach((entry, index) => {
      const { authenticator, clientId } = parseClientEntry(entry, authenticators);
      const owner = authenticator ?? (acting.length === 1 ? acting[0] : undefined);
      const known = owner === undefined ? undefined : callers.clients.get(owner);
      const isNoGlob = clientId.includes('*') && ![...callers.clients.values()].flat().includes(clientId);
      const whole = 'is no glob: client ids are compared whole, so name each client';
      if (authenticator !== undefined && !acting.includes(authenticator)) {
        const name = show(authenticator);
        error(['clients', index], `can never match: authenticator ${name} names no client on this route`);
      } else if (authenticator === undefined && acting.length > 1) {
        // A bare id could be another issuer's client of that name.
        const example = isNoGlob ? `; and it ${whole}` : `, such as ${show(qualified(entry, acting))}`;
        const message = `several authenticators can name clients on this route; write which${example}`;
        error(['clients', index], message);
      } else if (isNoGlob) {
        warn(['clients', index], `${show(clientId)} ${whole}`);
      } else if (known !== undefined && !known.includes(clientId)) {
        const near = suggestion(clientId, known);
        warn(['clients', index], `can never match: ${show(owner!)} has no client ${show(clientId)}${near}`);
      }
    });
  },
  compile({ clients: entries }, { authenticators }) {
    if (entries === undefined) return undefined;
    const bare = new Set<string>();
    const byAuthenticator = new Map<string, Set<string>>();
    for (const entry of entries) {
      const { authenticator, clientId } = parseClientEntry(entry, authenticators);
      if (authenticator === undefined) bare.add(clientId);
      else byAuthenticator.set(authenticator, (byAuthenticator.get(authenticator) ?? new Set()).add(clientId));
    }
    return selectorOf(
      ({ caller }) => {
        const clientId = caller?.principal.clientId;
        if (caller === undefined || clientId === undefined) return false;
        return bare.has(clientId) || byAuthenticator.get(caller.principal.authenticator)?.has(clientId) === true;
      },
      [{ client: entries.map((entry) => parseClientEntry(entry, authenticators).clientId) }],
    );
  },
  had: ({ caller }) => {
    const { authenticator, clientId } = caller?.principal ?? {};
    return clientId === undefined ? undefined : `${authenticator}/${clientId}`;
  },
  covers: (wider, narrower) =>
    listCovers(wider.clients, narrower.clients, (one, other) => one === other || other.endsWith(`/${one}`)),
} satisfies SelectorType<ConfigOf<typeof keys>>;

/** A parsed entry of `clients`. */
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

/** The entry with the authenticator that its misspelt qualifier is near to, else with the first. */
function qualified(entry: string, acting: readonly string[]): string {
  const slash = entry.indexOf('/');
  const meant = slash === -1 ? undefined : nearest(entry.slice(0, slash), acting);
  return meant === undefined ? `${acting[0]}/${entry}` : meant + entry.slice(slash);
}
