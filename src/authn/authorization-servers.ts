// Which authorization servers a route's clients are sent to: the issuers of its authenticators, in the order in which it names them.
import type { AuthenticatorConfig, Config, RouteConfig } from '../config/schema/config.ts';
import { authenticatorNamesOf } from './requirements.ts';

/** Byte for byte as the issuers are configured; clients use the first. Empty where no token is taken. */
export function authorizationServersOf(
  route: Pick<RouteConfig, 'authenticate'>,
  { authenticators }: Pick<Config, 'authenticators'>,
): string[] {
  return authenticatorsOf(route, authenticators).flatMap((each) => ('issuer' in each ? [each.issuer] : []));
}

/**
 * The issuer whose metadata the gateway repeats for clients of MCP 2025-03-26, which know one authorization server a host: the first whose keys the
 * gateway fetches, of the first MCP route that has any, or else of the first route. Undefined with `server.authorizationServerMetadata: off`.
 */
export function mirroredIssuer(
  config: Pick<Config, 'authenticators' | 'server'> & Partial<Pick<Config, 'routes'>>,
): string | undefined {
  if (config.server.authorizationServerMetadata === 'off') return undefined;
  const found = (config.routes ?? []).flatMap((route) => {
    const issuers = authenticatorsOf(route, config.authenticators).flatMap((each) =>
      each.type === 'jwt' ? [each.issuer] : [],
    );
    return issuers.length === 0 ? [] : [{ isMcp: route.mcp !== undefined, issuer: issuers[0] }];
  });
  return (found.find(({ isMcp }) => isMcp) ?? found[0])?.issuer;
}

function authenticatorsOf(
  route: Pick<RouteConfig, 'authenticate'>,
  authenticators: Config['authenticators'],
): AuthenticatorConfig[] {
  return authenticatorNamesOf(route.authenticate).flatMap((name) =>
    Object.hasOwn(authenticators, name) ? authenticators[name]! : [],
  );
}
