// Route matching by path pattern and method: the first match wins.
import { GatewayError } from '../errors.ts';
import { compilePathPattern, type PathPattern } from './path-pattern.ts';

/** The part of a route that the matcher uses. */
export interface RoutePattern {
  readonly name: string;
  /** `/mcp` or `/api/*`. */
  readonly path: string;
  /** Undefined: every method. HEAD follows GET. */
  readonly methods: ReadonlySet<string> | undefined;
}

/** The matched route, the methods of the routes that match the path only, or undefined. */
export type RouteMatch<R> = { readonly route: R } | { readonly allow: readonly string[] } | undefined;

interface Entry<R> {
  readonly route: R;
  readonly pattern: PathPattern;
  readonly isWellKnown: boolean;
}

/** RFC 8615: these documents speak for the whole host, so only a pattern that begins so matches them. */
const wellKnown = '/.well-known';

/** Compiles the routes in their order. The first match wins. */
export function compileRoutes<R extends RoutePattern>(
  routes: readonly R[],
): (method: string, path: string) => RouteMatch<R> {
  const entries: Entry<R>[] = routes.map((route) => {
    const pattern = compilePathPattern(route.path);
    return { route, pattern, isWellKnown: isWellKnown(pattern.base) };
  });
  return (method, path) => {
    const inWellKnown = isWellKnown(path);
    let allow: Set<string> | undefined;
    for (const entry of entries) {
      if (!entry.pattern.matches(path) || (inWellKnown && !entry.isWellKnown)) continue;
      const { methods } = entry.route;
      if (methods === undefined || acceptsMethod(methods, method)) return { route: entry.route };
      allow = new Set([...(allow ?? []), ...methods]);
    }
    if (allow === undefined) return undefined;
    if (allow.has('GET')) allow.add('HEAD');
    return { allow: [...allow].sort() };
  };
}

/** The route of a match. Throws `not_found`, or `method_not_allowed` with `Allow`. */
export function requireRoute<R>(match: RouteMatch<R>): R {
  if (match === undefined) throw new GatewayError('not_found', 'There is nothing at this path.');
  if ('route' in match) return match.route;
  throw new GatewayError('method_not_allowed', 'This path does not answer this method. See the Allow header.', {
    headers: { allow: match.allow.join(', ') },
  });
}

/** HEAD follows GET. */
export function acceptsMethod(methods: ReadonlySet<string>, method: string): boolean {
  return methods.has(method) || (method === 'HEAD' && methods.has('GET'));
}

function isWellKnown(path: string): boolean {
  return path.startsWith(wellKnown) && (path.length === wellKnown.length || path[wellKnown.length] === '/');
}
