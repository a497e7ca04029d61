// Checks of the rules of a route, and their compilation: the checked rule is the compiled rule.
import { alternativesOf, authenticatorNamesOf } from '../../authn/alternatives.ts';
import { compilePolicy } from '../../policy/compile.ts';
import { metaToolsOf } from '../../policy/presets.ts';
import type { Policy } from '../../policy/rule.ts';
import { type AcceptedCallers, contextBelow, type RouteContext } from '../../policy/selectors/selector-type.ts';
import { formatPath } from '../problem.ts';
import type { RouteConfig } from '../schema/config.ts';
import type { Path } from '../schema/reporter.ts';
import { actingAuthenticators, authenticatorNamed } from './authenticate.ts';
import type { CheckContext } from './context.ts';

/** The policy of a route. Undefined where an error was reported. */
export function compileRules(context: CheckContext, route: RouteConfig, base: Path): Policy | undefined {
  const { authenticators } = context.declared;
  return compilePolicy(
    route,
    contextBelow({ ...context, authenticators, route: routeContext(context, route, base) }, ...base),
  );
}

function routeContext(context: CheckContext, route: RouteConfig, base: Path): RouteContext {
  const metaTools = Object.entries(route.mcp === undefined ? {} : metaToolsOf(route.mcp));
  return {
    place: formatPath(base),
    path: route.path,
    methods: route.methods,
    callers: route.authenticate === 'none' ? undefined : acceptedCallers(context, route),
    callMetaTools: metaTools.flatMap(([name, tool]) => ('results' in tool ? [] : [name])),
  };
}

function acceptedCallers(context: CheckContext, { authenticate }: RouteConfig): AcceptedCallers {
  const names = authenticatorNamesOf(authenticate);
  const configs = names.map((name) => authenticatorNamed(context, name));
  const claims = configs.flatMap((config) => {
    return config !== undefined && 'claims' in config ? Object.keys(config.claims) : [];
  });
  return {
    authenticators: names,
    acting: actingAuthenticators(alternativesOf(authenticate), context.draft.authenticators ?? {}),
    claims: configs.includes(undefined) ? undefined : claims,
  };
}
