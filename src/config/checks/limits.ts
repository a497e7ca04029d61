// Checks of `limits`: one size each, values that calls can have, names that exist and are used.
import { authenticatorNamesOf } from '../../authn/alternatives.ts';
import { bucketValues, valuesWithoutCaller } from '../../limits/bucket-key.ts';
import type { LimitConfig } from '../../limits/limit.ts';
import type { RouteConfig } from '../schema/config.ts';
import type { Path } from '../schema/reporter.ts';
import { suggestion } from '../schema/suggestion.ts';
import { claimsOf } from './authenticators.ts';
import type { CheckContext } from './context.ts';
import { authenticatorNamed } from './routes/authenticate.ts';

/** Limits in the order in which a route and its rules name them. */
interface Use {
  readonly path: Path;
  readonly names: readonly string[];
}

/** Checks the limits, and where they are named. */
export function checkLimits(context: CheckContext): void {
  const { limits = {}, routes = [] } = context.draft;
  for (const [name, config] of Object.entries(limits)) {
    checkSize(context, config, ['limits', name]);
    checkValues(context, config, ['limits', name, 'per']);
  }
  const used = routes.flatMap((route, index) => {
    const uses = usesOf(route, ['routes', index]);
    for (const use of uses) checkUse(context, route, use);
    return uses.flatMap(({ names }) => names);
  });
  const { declared } = context;
  // A name that is used and not there is probably one of those that seem unused.
  if (used.some((name) => !declared.limits.includes(name))) return;
  for (const name of declared.limits) {
    if (!used.includes(name)) context.warn(['limits', name], 'is not used by any route or rule');
  }
}

function checkSize(context: CheckContext, { burst, quota, rate }: LimitConfig, path: Path): void {
  if ((rate === undefined) === (quota === undefined)) context.error(path, 'needs either rate or quota');
  else if (quota !== undefined && burst !== undefined) context.error([...path, 'burst'], 'belongs to a rate');
}

function checkValues(context: CheckContext, { per }: LimitConfig, path: Path): void {
  const { authenticators = {} } = context.draft;
  const known = [...Object.keys(bucketValues), ...Object.values(authenticators).flatMap(claimsOf)];
  per.forEach((value, index) => {
    const at = [...path, index];
    if (per.indexOf(value) < index) context.error(at, `${context.show(value)} is there twice`);
    if (known.includes(value) || !context.isWhole(['authenticators'])) return;
    const near = suggestion(value, known);
    context.error(at, `no authenticator has the claim ${context.show(value)} in its claims${near}`);
  });
}

function usesOf({ limits, mcp, rules = [] }: RouteConfig, path: Path): Use[] {
  const ofRules = mcp === undefined ? rules : mcp.rules;
  const below = mcp === undefined ? [...path, 'rules'] : [...path, 'mcp', 'rules'];
  return [
    { path: [...path, 'limits'], names: limits },
    ...ofRules.map((rule, index) => ({ path: [...below, index, 'limits'], names: rule.limits ?? [] })),
  ];
}

function checkUse(context: CheckContext, route: RouteConfig, { names, path }: Use): void {
  names.forEach((name, index) => {
    const at = [...path, index];
    if (names.indexOf(name) < index) context.error(at, `${context.show(name)} is there twice`);
    if (!context.declared.limits.includes(name)) {
      context.error(at, `unknown limit ${context.show(name)}${suggestion(name, context.declared.limits)}`);
      return;
    }
    const absent = absentValues(context, context.draft.limits?.[name], route);
    if (absent.length === 0) return;
    const words = absent.map((value) => context.show(value)).join(' and ');
    context.warn(at, `no call of this route has ${words}: in ${context.show(name)} they share one bucket`);
  });
}

/** The values of `per` that no call of the route has. */
function absentValues(context: CheckContext, limit: LimitConfig | undefined, route: RouteConfig): string[] {
  const { authenticate, mcp } = route;
  const configs = authenticatorNamesOf(authenticate).map((name) => authenticatorNamed(context, name));
  const isOpen = authenticate === 'none';
  // The claims of one that could not be read are not known.
  if (!isOpen && configs.includes(undefined)) return [];
  const claims = configs.flatMap((config) => (config === undefined ? [] : claimsOf(config)));
  return (limit?.per ?? []).filter((value) => {
    if (value === 'tool') return mcp === undefined;
    if (valuesWithoutCaller.has(value)) return false;
    return isOpen || (!Object.hasOwn(bucketValues, value) && !claims.includes(value));
  });
}
