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
