// Checks of `scopeImplies` and `challengeScopes`: no circles, and nothing asked for or implied that no rule takes.
import { authenticatorNamesOf } from '../../../authn/alternatives.ts';
import { impliedBy, type ScopeImplications } from '../../../authn/caller/scopes.ts';
import { rulesOf } from '../../../policy/presets.ts';
import type { RuleConfig } from '../../../policy/rule.ts';
import type { RouteConfig } from '../../schema/config.ts';
import type { Path } from '../../schema/reporter.ts';
import { suggestion } from '../../schema/suggestion.ts';
import type { CheckContext } from '../context.ts';
import { authenticatorNamed } from './authenticate.ts';

/** Checks `scopeImplies` and the scopes that rules and challenges name. */
export function checkScopes(context: CheckContext): void {
  const { routes = [], scopeImplies: implications = {} } = context.draft;
  const taken = takenBy(routes);
  for (const [scope, implied] of Object.entries(implications)) {
    implied.forEach((other, index) => {
      const at = ['scopeImplies', scope, index];
      if (other === scope || impliedBy(other, implications).includes(scope)) {
        context.error(at, `${context.show(other)} implies ${context.show(scope)} again: a scope must not imply itself`);
      } else if (implied.indexOf(other) < index) {
        context.warn(at, 'is named twice');
      } else if (!taken.includes(other) && !Object.hasOwn(implications, other)) {
        context.warn(at, `no rule asks for ${context.show(other)}${suggestion(other, taken.scopes)}`);
      }
    });
  }
  routes.forEach((route, index) => {
    checkPrefixes(context, route, ['routes', index]);
    checkChallengeScopes(context, route, ['routes', index, 'mcp', 'challengeScopes'], implications);
  });
}

/** Rules speak the names that tokens have. Clients are told one list of scopes, whichever authorization server they choose. */
function checkPrefixes(context: CheckContext, route: RouteConfig, path: Path): void {
  const prefixes = authenticatorNamesOf(route.authenticate).flatMap((name) => {
    const config = authenticatorNamed(context, name);
    return config !== undefined && 'issuer' in config ? [config.scopePrefix ?? ''] : [];
  });
  for (const scope of takenBy([route]).scopes) {
    const prefix = prefixes.find((each) => each !== '' && scope.startsWith(each));
    if (prefix === undefined) continue;
    const short = context.show(scope.slice(prefix.length));
    context.warn(path, `a rule asks for ${context.show(scope)}, but tokens have ${short}: rules have no scopePrefix`);
  }
  if (new Set(prefixes).size > 1) {
    const message = 'its authenticators have different scopePrefix; the metadata name scopes as the first one does';
    context.warn([...path, 'authenticate'], message);
  }
}

/** A client asks for all of them, and an authorization server may refuse all for one that it does not know. */
function checkChallengeScopes(
  context: CheckContext,
  route: RouteConfig,
  path: readonly (string | number)[],
  implications: ScopeImplications,
): void {
  const taken = takenBy([route]);
  route.mcp?.challengeScopes?.forEach((scope, index) => {
    if ([scope, ...impliedBy(scope, implications)].some(taken.includes)) return;
    const message = `no rule of this route asks for ${context.show(scope)}${suggestion(scope, taken.scopes)}`;
    context.warn([...path, index], message);
  });
}

/** The scopes that the rules of the routes require; a condition takes whatever scope stands in it. */
function takenBy(routes: readonly RouteConfig[]): {
  scopes: ReadonlySet<string>;
  includes: (scope: string) => boolean;
} {
  const rules: RuleConfig[] = routes.flatMap(({ mcp, rules = [] }) => (mcp === undefined ? rules : rulesOf(mcp)));
  const ofRules = rules.flatMap(({ require }) => [...(require?.scopes ?? []), ...(require?.anyScope ?? [])]);
  const scopes = new Set([...routes.flatMap((route) => route.scopes ?? []), ...ofRules]);
  const conditions = rules.flatMap(({ allow, deny, require }) => [allow?.when, deny?.when, require?.when]);
  return {
    scopes,
    includes: (scope) => scopes.has(scope) || conditions.some((condition) => condition?.includes(scope)),
  };
}
