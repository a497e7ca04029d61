// Callers that a configuration tells apart: keys, entries of certificate allowlists, named clients, claim values, any token.
import { identityKeyOf } from '../../authn/certificate/identity.ts';
import { acceptedClaims } from '../../policy/access/open-parts.ts';
import { parseClientEntry } from '../../policy/selectors/clients.ts';
import type { PolicyFile } from '../policy-file.ts';

/** A caller, or all callers that the configuration does not tell apart. */
export type CallerClass = { readonly authenticator: string } & (
  | { readonly kind: 'key' | 'certificate'; readonly name: string; readonly clientId: string }
  | { readonly kind: 'client'; readonly name: string }
  | { readonly kind: 'claim'; readonly claim: string; readonly value: unknown }
  /** Any token of a client that nothing names. */
  | { readonly kind: 'token' }
  | { readonly kind: 'anyone' }
);

/** Equal for the same caller in other configurations. */
export function idOf(caller: CallerClass): string {
  switch (caller.kind) {
    case 'claim':
      return `claim ${caller.authenticator} ${caller.claim} ${JSON.stringify(caller.value)}`;
    case 'token':
    case 'anyone':
      return `${caller.kind} ${caller.authenticator}`;
    default:
      return `${caller.kind} ${caller.authenticator}/${caller.name}`;
  }
}

/** Public: the caller in words. */
export function nameOf(caller: CallerClass): string {
  const { authenticator } = caller;
  switch (caller.kind) {
    case 'key':
    case 'certificate':
    case 'client':
      return `${caller.kind} ${authenticator}/${caller.name}`;
    case 'claim':
      return `any token of ${authenticator} with ${caller.claim} ${String(caller.value)}`;
    case 'token':
      return `any token of ${authenticator}`;
    case 'anyone':
      return 'anyone';
  }
}

const anyone: CallerClass = { kind: 'anyone', authenticator: '' };

/** All callers of a configuration, and further clients whose tokens are asked about. */
export function callersOf({ loaded }: PolicyFile, clients: readonly string[]): readonly CallerClass[] {
  const { config } = loaded;
  const found: CallerClass[] = [];
  for (const [authenticator, section] of Object.entries(config.authenticators)) {
    if (section.type === 'apiKey')
      for (const { id, clientId } of section.keys ?? []) found.push({ kind: 'key', authenticator, name: id, clientId });
    else if (section.type === 'mtls')
      for (const entry of section.allow)
        found.push({
          kind: 'certificate',
          authenticator,
          name: entry[identityKeyOf(entry)!]!,
          clientId: entry.clientId,
        });
    else {
      for (const name of [...clientsNamed(authenticator, loaded), ...clients])
        found.push({ kind: 'client', authenticator, name });
      for (const [claim, value] of claimsNamed(loaded))
        if (Object.hasOwn(section.claims, claim)) found.push({ kind: 'claim', authenticator, claim, value });
      found.push({ kind: 'token', authenticator });
    }
  }
  found.push(anyone);
  return [...new Map(found.map((caller) => [idOf(caller), caller])).values()];
}

type Loaded = PolicyFile['loaded'];

/** Clients that rules, routes, keys or allowlists name, of whichever authenticator tells them. */
function clientsNamed(authenticator: string, { config, policies }: Loaded): ReadonlySet<string> {
  const authenticators = Object.keys(config.authenticators);
  const inRules = [...policies.values()].flatMap(({ rules }) =>
    rules.flatMap(({ selectors }) => selectors.flatMap(({ wanted }) => (wanted.clients as string[] | undefined) ?? [])),
  );
  const inRoutes = config.routes.flatMap(({ certificateFor }) => certificateFor ?? []);
  const named = [...inRules, ...inRoutes].flatMap((entry) => {
    const parsed = parseClientEntry(entry, authenticators);
    return (parsed.authenticator ?? authenticator) === authenticator ? [parsed.clientId] : [];
  });
  const configured = Object.values(config.authenticators).flatMap((section) => {
    if (section.type === 'mtls') return section.allow.map(({ clientId }) => clientId);
    return section.type === 'apiKey' ? (section.keys ?? []).map(({ clientId }) => clientId) : [];
  });
  return new Set([...named, ...configured]);
}

function claimsNamed({ policies }: Loaded): (readonly [string, unknown])[] {
  const selectors = [...policies.values()].flatMap(({ rules }) => rules.flatMap((rule) => rule.selectors));
  return selectors.flatMap((selector) =>
    acceptedClaims(selector).flatMap(({ claim, values }) => values.map((value) => [claim, value] as const)),
  );
}
