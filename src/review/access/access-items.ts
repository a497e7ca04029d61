// Items of an access review: the tools, resources, prompts, methods and paths that rules can tell apart.
import type { Config } from '../../config/schema/config.ts';
import { mcpRouteMethods, pathRouteMethods } from '../../config/schema/routes.ts';
import { compilePathPattern } from '../../http/path-pattern.ts';
import type { RouteMatch } from '../../http/route-matcher.ts';
import { compileRoutes } from '../../http/route-matcher.ts';
import type { McpMessage } from '../../mcp/message.ts';
import { methodNames, methodOf } from '../../mcp/methods.ts';
import type { OpenCall } from '../../policy/access/open-call.ts';
import { compileGlob, compileGlobs, globCovers } from '../../policy/glob.ts';
import { knownNamesOf } from '../../policy/lint/known-names.ts';
import { itemOf, useOf } from '../../policy/list-item.ts';
import type { Policy } from '../../policy/rule.ts';
import type { Reach } from '../../policy/selectors/selector-type.ts';
import type { PolicyFile } from '../policy-file.ts';

type RouteConfig = Config['routes'][number];
const kinds = ['tool', 'resource', 'prompt', 'method'] as const;
export type McpItemKind = (typeof kinds)[number];

/** The items of all files under review: each is asked about all of them. */
export interface ItemNames {
  /** By the path of the MCP route: names, and globs for all others that they match. */
  readonly mcp: ReadonlyMap<string, Readonly<Record<McpItemKind, ReadonlySet<string>>>>;
  /** Path patterns of routes and rules. */
  readonly paths: ReadonlySet<string>;
}

/** Something that a caller may be allowed. */
export interface AccessItem {
  readonly kind: McpItemKind | 'path';
  /** A name, a glob for all other names that it matches, or a method and a path pattern. */
  readonly name: string;
  /** The path of the route. */
  readonly routePath: string;
  readonly routeName: string;
  /** Undefined where the file has no such route. */
  readonly route: RouteConfig;
  readonly call: OpenCall;
}

/** The names in the files, together with further tools that are asked about. */
export function itemNamesOf(files: readonly PolicyFile[], tools: readonly string[]): ItemNames {
  const mcp = new Map<string, Record<McpItemKind, Set<string>>>();
  const paths = new Set<string>();
  for (const { loaded } of files) {
    for (const route of loaded.config.routes) {
      const policy = policyOf(route, loaded.policies);
      if (route.mcp === undefined) for (const path of [route.path, ...pathsIn(policy)]) paths.add(path);
      else {
        paths.add(route.path);
        const names = mcp.get(route.path) ?? {
          tool: new Set(tools),
          resource: new Set(),
          prompt: new Set(),
          method: new Set(),
        };
        mcp.set(route.path, names);
        for (const [kind, name] of [...namesIn(policy), ...namesKnown(route, loaded)]) names[kind].add(name);
      }
    }
  }
  return { mcp, paths };
}

function policyOf({ name, path }: RouteConfig, policies: ReadonlyMap<string, Policy>): Policy {
  return policies.get(name ?? path)!;
}

function reachesIn({ rules }: Policy): readonly Reach[] {
  return rules.flatMap(({ selectors }) => selectors.flatMap(({ reaches }) => reaches ?? []));
}

/** A path pattern is given by its base, and a `/*` where it is open. */
function pathsIn({ rules }: Policy): readonly string[] {
  return rules.flatMap(({ selectors }) =>
    selectors.flatMap(({ wanted }) => (wanted.paths as string[] | undefined) ?? []),
  );
}

function namesIn(policy: Policy): (readonly [McpItemKind, string])[] {
  const reaches = reachesIn(policy);
  const targets = (['tool', 'resource', 'prompt'] as const).flatMap((kind) =>
    reaches.flatMap((reach) => (reach[kind] ?? []).map((name) => [kind, name] as const)),
  );
  const alone = reaches.filter((reach) => !('tool' in reach || 'resource' in reach || 'prompt' in reach));
  const globs = alone.flatMap(({ method = [] }) => method);
  const reached = methodNames.filter(compileGlobs(globs));
  // A rule for the method that uses the items of a list is about all of them.
  const all = Object.entries(useOf).flatMap(([kind, method]) =>
    reached.includes(method) ? [[kind, '*'] as const] : [],
  );
  const methods = [...globs, ...reached].filter((method) => methodOf(method)?.target === undefined);
  const tools = [...policy.toolNames, ...targets.flatMap(([kind, name]) => (kind === 'tool' ? name : []))];
  return [
    ...targets.filter(([kind]) => kind !== 'tool'),
    ...(all as [McpItemKind, string][]),
    ...methods.map((name) => ['method', name] as const),
    ...tools.filter((name) => !policy.metaTools.calls.has(name)).map((name) => ['tool', name] as const),
  ];
}

function namesKnown(route: RouteConfig, { files, policies }: PolicyFile['loaded']): (readonly [McpItemKind, string])[] {
  const known = knownNamesOf(route, files);
  const { calls } = policyOf(route, policies).metaTools;
  return [
    ...(known?.tools ?? []).filter((name) => !calls.has(name)).map((name) => ['tool', name] as const),
    ...(known?.resources ?? []).map((name) => ['resource', name] as const),
    ...(known?.prompts ?? []).map((name) => ['prompt', name] as const),
  ];
}

/** The items, as this file serves them. */
export function itemsOf({ loaded }: PolicyFile, names: ItemNames): readonly AccessItem[] {
  const { routes } = loaded.config;
  const methodsOf = (route: RouteConfig) =>
    route.methods ?? (route.mcp === undefined ? pathRouteMethods : mcpRouteMethods);
  const patterns = routes.map((route) => ({
    ...route,
    name: route.name ?? route.path,
    methods: new Set<string>(methodsOf(route)),
  }));
  const match = compileRoutes(patterns);
  const routeAt = (method: string, path: string): RouteConfig | undefined => {
    const found: RouteMatch<(typeof patterns)[number]> = match(method, path);
    return found !== undefined && 'route' in found ? routes[patterns.indexOf(found.route)] : undefined;
  };
  const mcp = [...names.mcp].flatMap(([path, byKind]) => {
    const route = routeAt('POST', path);
    if (route?.mcp === undefined) return [];
    const { calls } = policyOf(route, loaded.policies).metaTools;
    const items = kinds.flatMap((kind) => mcpItems(route, kind, byKind[kind]));
    return items.filter(({ kind, name }) => kind !== 'tool' || !calls.has(name));
  });
  const paths = [...names.paths].flatMap((pattern) => pathItems(pattern, routeAt));
  return [...mcp, ...paths];
}

function mcpItems(route: RouteConfig, kind: McpItemKind, names: ReadonlySet<string>): AccessItem[] {
  const literals = new Set([...names].filter((name) => !name.includes('*')));
  const globs = [...names].filter((name) => name.includes('*'));
  return [...names].sort(byName).map((name) => {
    const isGlob = name.includes('*');
    // As `globCovers`, compiled once: a policy may have a thousand globs.
    const covers = compileGlob(name);
    const exceptGlobs = isGlob
      ? globs.filter((other) => other !== name && covers(other) && !globCovers(other, name))
      : [];
    const pattern = {
      kind: kind === 'method' ? 'tool' : kind,
      pattern: name.split('*'),
      except: literals,
      via: undefined,
    };
    const item = kind === 'method' ? undefined : isGlob ? { ...pattern, kind } : itemOf(kind, name);
    const message = kind === 'method' ? messageOf(name.replaceAll('*', 'x')) : emptyMessage;
    const routeName = route.name ?? route.path;
    const call: OpenCall = { item, exceptGlobs, route: routeName, http: { method: 'POST', path: route.path }, message };
    return { kind, name, routePath: route.path, routeName, route, call };
  });
}

/** Globs stand behind names. */
function byName(one: string, other: string): number {
  return Number(one.includes('*')) - Number(other.includes('*')) || (one < other ? -1 : 1);
}

const emptyMessage = messageOf('tools/call');

function messageOf(method: string): McpMessage {
  const nothing = Buffer.alloc(0);
  return {
    kind: 'request',
    id: '1',
    method,
    protocolVersion: undefined,
    target: undefined,
    mirroredName: undefined,
    reference: undefined,
    named: undefined,
    membersKnown: true,
    traceContext: undefined,
    via: undefined,
    argumentBytes: undefined,
    bytes: nothing,
  };
}

/** A path of no rule. */
const otherSegment = '-any-other-';

/** One item for each method. The path stands for all that no narrower pattern has. */
function pathItems(pattern: string, routeAt: (method: string, path: string) => RouteConfig | undefined): AccessItem[] {
  const { base, isOpen } = compilePathPattern(pattern);
  const path = isOpen ? `${base === '/' ? '' : base}/${otherSegment}` : base;
  return pathRouteMethods.flatMap((method) => {
    const route = routeAt(method, path);
    if (method === 'HEAD' || route === undefined || route.mcp !== undefined) return [];
    const routeName = route.name ?? route.path;
    const call: OpenCall = {
      item: undefined,
      exceptGlobs: [],
      route: routeName,
      http: { method, path },
      message: undefined,
    };
    return { kind: 'path' as const, name: `${method} ${pattern}`, routePath: route.path, routeName, route, call };
  });
}
