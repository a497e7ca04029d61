// Path patterns: `/mcp` is that path, `/api/*` is `/api` and everything below it. One trailing slash of a path is ignored.

/** A compiled path of a route. */
export interface PathPattern {
  /** The path, without `/*` and without a trailing slash. */
  readonly base: string;
  /** It ends with `/*`. */
  readonly isOpen: boolean;
  matches(path: string): boolean;
}

/** Compiles a path, with or without `/*`. */
export function compilePathPattern(pattern: string): PathPattern {
  const isOpen = pattern.endsWith('/*');
  const base = withoutTrailingSlash(isOpen ? pattern.slice(0, -2) : pattern) || '/';
  const slashed = base === '/' ? base : `${base}/`;
  return {
    base,
    isOpen,
    matches: isOpen ? (path) => path === base || path.startsWith(slashed) : (path) => path === base || path === slashed,
  };
}

/** Reports whether every path that `narrower` matches is matched by `wider` too. */
export function pathPatternCovers(wider: string, narrower: string): boolean {
  const [one, other] = [compilePathPattern(wider), compilePathPattern(narrower)];
  return (one.isOpen || !other.isOpen) && one.matches(other.base);
}

function withoutTrailingSlash(path: string): string {
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
}
