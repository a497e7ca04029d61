// Run of the checks across keys, in the order of the file.
import { checkAudit } from '../../audit/check.ts';
import type { Policy } from '../../policy/rule.ts';
import { checkTracing } from '../../telemetry/schema.ts';
import type { PlaceOfKey } from '../files/keys-file.ts';
import { formatPath, type Place } from '../problem.ts';
import type { Path } from '../schema/reporter.ts';
import { checkAdmin } from './admin.ts';
import { checkKeys } from './api-keys.ts';
import { checkAuthenticators } from './authenticators.ts';
import type { CheckContext } from './context.ts';
import { checkLimits } from './limits.ts';
import { checkRoutes } from './routes/routes.ts';
import { checkScopeNames } from './routes/scope-names.ts';
import { checkScopes } from './routes/scopes.ts';
import { checkServer } from './server.ts';
import { checkState } from './state.ts';
import { checkUse } from './unused.ts';
import { checkIdentity } from './upstream-identity.ts';
import { checkUpstreams } from './upstreams.ts';

/** Compiled by the checks, for whoever runs the configuration. */
export interface Checked {
  /** By the name of the route. Complete where no error was reported. */
  readonly policies: ReadonlyMap<string, Policy>;
  /** The places of the routes and of the rules in their own lists, by their paths, such as `routes[0].mcp.rules[2]`. */
  readonly places: ReadonlyMap<string, Place>;
  /** Undefined without `admin.authenticate`. */
  readonly consolePolicy: Policy | undefined;
}

/** Runs every check. Problems are reported to the context. */
export function runChecks(context: CheckContext, placeOfKey: PlaceOfKey): Checked {
  checkServer(context);
  const consolePolicy = checkAdmin(context);
  checkAuthenticators(context);
  checkKeys(context, placeOfKey);
  checkScopes(context);
  checkUpstreams(context);
  checkIdentity(context);
  const policies = checkRoutes(context);
  checkLimits(context);
  checkScopeNames(context, placeOfKey, policies);
  if (context.draft.audit !== undefined) checkAudit(context.draft.audit, context);
  checkState(context);
  if (context.draft.tracing !== undefined) checkTracing(context.draft.tracing, context);
  checkUse(context);
  return { policies, consolePolicy, places: placesIn(context) };
}

function placesIn({ draft, placeOf }: CheckContext): Checked['places'] {
  const paths = (draft.routes ?? []).flatMap(({ mcp, rules }, index): Path[] => {
    const list = mcp === undefined ? ['routes', index, 'rules'] : ['routes', index, 'mcp', 'rules'];
    return [['routes', index], ...(mcp?.rules ?? rules ?? []).map((_, position) => [...list, position])];
  });
  return new Map(paths.map((path) => [formatPath(path), placeOf(path)]));
}
