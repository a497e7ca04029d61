// The selectors of path routes for the request itself: `methods` and `paths`.
import * as z from 'zod';
import { method, routePath } from '../../config/schema/values.ts';
import { compilePathPattern, pathPatternCovers } from '../../http/path-pattern.ts';
import { acceptsMethod } from '../../http/route-matcher.ts';
import { type ConfigOf, listCovers, type SelectorType, selectorOf } from './selector-type.ts';

const methodKeys = { methods: z.array(method).min(1).optional().describe('HTTP methods.') };

export const httpMethods = {
  keys: methodKeys,
  check({ methods = [] }, route, { error }) {
    const accepted = new Set(route.methods);
    methods.forEach((each, index) => {
      if (route.methods === undefined || acceptsMethod(accepted, each)) return;
      error(['methods', index], "can never match: it is not among the route's methods");
    });
  },
  compile({ methods }) {
    if (methods === undefined) return undefined;
    const accepted = new Set(methods);
    const followed = accepted.has('GET') ? ['HEAD'] : [];
    return selectorOf(({ http }) => acceptsMethod(accepted, http.method), [{ httpMethod: [...methods, ...followed] }]);
  },
  had: ({ http }) => http.method,
  covers: (wider, narrower) => listCovers(wider.methods, narrower.methods),
} satisfies SelectorType<ConfigOf<typeof methodKeys>>;

const pathKeys = { paths: z.array(routePath).min(1).optional().describe("Paths within the route's path.") };

export const paths = {
  keys: pathKeys,
  check({ paths: patterns = [] }, route, { error, show }) {
    patterns.forEach((pattern, index) => {
      if (pathPatternCovers(route.path, pattern)) return;
      const message = `can never match: it is not within the route's path ${show(route.path)}`;
      error(['paths', index], message);
    });
  },
  compile({ paths: patterns }) {
    if (patterns === undefined) return undefined;
    const compiled = patterns.map(compilePathPattern);
    const globs = compiled.flatMap(({ base, isOpen }) => [base, `${base === '/' ? '' : base}/${isOpen ? '*' : ''}`]);
    return selectorOf(({ http }) => compiled.some((pattern) => pattern.matches(http.path)), [{ path: globs }]);
  },
  had: ({ http }) => http.path,
  covers: (wider, narrower) => listCovers(wider.paths, narrower.paths, pathPatternCovers),
} satisfies SelectorType<ConfigOf<typeof pathKeys>>;
