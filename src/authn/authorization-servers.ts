// Authorization servers of a route: the issuers of its authenticators, in the order in which it names them.

import { type AuthenticateConfig, authenticatorNamesOf } from './alternatives.ts';
import type { AuthenticatorConfig } from './authenticator-types.ts';

type Authenticators = Readonly<Record<string, AuthenticatorConfig>>;

/** The parts of a configuration that decide whose metadata the gateway repeats. */
export interface IssuerConfig {
  readonly authenticators: Authenticators;
  readonly server: { readonly authorizationServerMetadata: 'mirror' | 'off' };
  readonly routes?: readonly { readonly authenticate: AuthenticateConfig; readonly mcp?: object | undefined }[];
}

/** Byte for byte as the issuers are configured; clients use the first. Empty where no token is accepted. */
export function authorizationServersOf(authenticate: AuthenticateConfig, authenticators: Authenticators): string[] {
  return named(authenticate, authenticators).flatMap((each) => ('issuer' in each ? [each.issuer] : []));
}

/** The names by which clients ask for scopes at the authorization server of an authenticator; of the route's first where it is none of its own. */
export type RequestedScopes = (scopes: readonly string[], authenticator?: string) => readonly string[];

/** Scopes of OpenID Connect Core §5.4 and §11 are of the authorization server itself. */
const serverScopes = new Set(['openid', 'profile', 'email', 'address', 'phone', 'offline_access']);

/** Compiles the `scopePrefix` of a route's authenticators. A scope that is a URI is written out already. */
export function compileRequestedScopes(
  authenticate: AuthenticateConfig,
  authenticators: Authenticators,
): RequestedScopes {
  const prefixes = new Map(
    authenticatorNamesOf(authenticate).flatMap((name) => {
      const config = Object.hasOwn(authenticators, name) ? authenticators[name] : undefined;
      return config !== undefined && 'issuer' in config ? [[name, config.scopePrefix ?? ''] as const] : [];
    }),
  );
  const [first = ''] = prefixes.values();
  return (scopes, authenticator = '') => {
    const prefix = prefixes.get(authenticator) ?? first;
    const requested = (scope: string) => (serverScopes.has(scope) || scope.includes('://') ? scope : prefix + scope);
    return prefix === '' ? scopes : scopes.map(requested);
  };
}

/**
 * The issuer whose metadata the gateway repeats for clients of MCP 2025-03-26, which know one authorization server a host: the first whose keys the
 * gateway fetches, of the first MCP route that has any, or else of the first route. Undefined with `server.authorizationServerMetadata: off`.
 */
export function mirroredIssuer({ authenticators, server, routes = [] }: IssuerConfig): string | undefined {
  if (server.authorizationServerMetadata === 'off') return undefined;
  const found = routes.flatMap(({ authenticate, mcp }) => {
    const first = named(authenticate, authenticators).find((each) => each.type === 'jwt');
    return first === undefined ? [] : [{ isMcp: mcp !== undefined, issuer: first.issuer }];
  });
  return (found.find(({ isMcp }) => isMcp) ?? found[0])?.issuer;
}

function named(authenticate: AuthenticateConfig, authenticators: Authenticators): AuthenticatorConfig[] {
  return authenticatorNamesOf(authenticate).flatMap((name) =>
    Object.hasOwn(authenticators, name) ? authenticators[name]! : [],
  );
}
