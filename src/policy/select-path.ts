// Selects by the HTTP request on a path route: `methods: [GET]` and `paths: [/api/dashboards/*]`.
import type { Selector } from './selector.ts';

/** HEAD follows GET. */
export function compileHttpMethods(methods: readonly string[]): Selector {
  const wanted = new Set(methods);
  if (wanted.has('GET')) wanted.add('HEAD');
  return ({ http }) => wanted.has(http.method);
}

/** `/api/*` is `/api` and everything below it at a segment boundary, anything else is exact; one trailing slash of the request is ignored. */
export function compilePaths(patterns: readonly string[]): Selector {
  const matchers = patterns.map(compilePath);
  return ({ http }) => matchers.some((matches) => matches(http.path));
}

function compilePath(pattern: string): (path: string) => boolean {
  const exact = withoutTrailingSlash(pattern.endsWith('/*') ? pattern.slice(0, -2) : pattern);
  if (!pattern.endsWith('/*')) return (path) => withoutTrailingSlash(path) === exact;
  const below = `${exact}/`;
  return (path) => path === exact || path.startsWith(below);
}

function withoutTrailingSlash(path: string): string {
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
}

/** Reports whether every path that `narrower` matches is matched by `wider` too. */
export function pathCovers(wider: string, narrower: string): boolean {
  const base = narrower.endsWith('/*') ? narrower.slice(0, -2) || '/' : narrower;
  return (wider.endsWith('/*') || !narrower.endsWith('/*')) && compilePath(wider)(base);
}
