// Checks of `routes`: one answer each, nothing that cannot be enforced, no route behind a wider one.
import { authenticatorNamesOf } from '../../../authn/alternatives.ts';
import { authorizationServersOf } from '../../../authn/authorization-servers.ts';
import { isPlainPath } from '../../../http/path.ts';
import { pathPatternCovers } from '../../../http/path-pattern.ts';
import { acceptsMethod } from '../../../http/route-matcher.ts';
import { metadataPathOf, offlineAccessScope, serverMetadataPath } from '../../../http/well-known.ts';
import { parseSessionKey } from '../../../mcp/session-key.ts';
import { rulesOf } from '../../../policy/presets.ts';
import type { Policy } from '../../../policy/rule.ts';
import {
  configuredHeaders,
  foldHeaderName,
  isNeverForwarded,
  isProtocolHeader,
  presetHeadersOf,
} from '../../../upstream/header-names.ts';
import type { McpConfig, RouteConfig } from '../../schema/config.ts';
import { type Path, readAt } from '../../schema/reporter.ts';
import { mcpRouteMethods, pathRouteMethods } from '../../schema/routes.ts';
import { suggestion } from '../../schema/suggestion.ts';
import type { CheckContext } from '../context.ts';
import { checkAuthenticate } from './authenticate.ts';
import { compileRules } from './rules.ts';

const ownPaths = ['/.well-known/oauth-protected-resource/*', '/.well-known/jwks.json'];

/** The policies of the routes by their names; those of rules without errors. */
export function checkRoutes(context: CheckContext): ReadonlyMap<string, Policy> {
  const routes = context.draft.routes ?? [];
  const policies = new Map<string, Policy>();
  checkNames(context, routes);
  routes.forEach((route, index) => {
    const path: Path = ['routes', index];
    checkPath(context, route, path);
    checkAuthenticate(context, route, path);
    checkAnswer(context, route, path);
    checkEnforceable(context, route, path);
    checkForwardHeaders(context, route, path);
    if (route.mcp !== undefined) checkMcp(context, route, route.mcp, path);
    const policy = compileRules(context, route, path);
    if (policy !== undefined) policies.set(route.name, policy);
    checkShadow(context, routes, index);
  });
  checkAudiences(context, routes);
  checkMetadataPaths(context, routes);
  return policies;
}

function checkNames(context: CheckContext, routes: readonly RouteConfig[]): void {
  const first = new Map<string, number>();
  routes.forEach(({ name }, index) => {
    const other = first.get(name);
    if (other === undefined) first.set(name, index);
    else if (context.isWritten(['routes', index, 'name'])) {
      context.error(['routes', index, 'name'], `${context.show(name)} is the name of routes[${other}] already`);
    } else context.error(['routes', index], `needs a name, since routes[${other}] is named ${context.show(name)} too`);
  });
}

function checkPath(context: CheckContext, route: RouteConfig, path: Path): void {
  const at = [...path, 'path'];
  const base = route.path.replace(/\*$/, '');
  if (!isPlainPath(base)) {
    context.error(at, 'can never match: such paths are refused (dot segments, empty segments, encoded separators)');
  } else if (ownPaths.some((own) => pathPatternCovers(own, route.path))) {
    context.error(at, 'is served by the gateway itself');
  } else if (base === serverMetadataPath && context.draft.server?.authorizationServerMetadata === 'mirror') {
    const advice = 'set server.authorizationServerMetadata: off to answer it yourself';
    context.error(at, `is where the gateway repeats its issuer's metadata; ${advice}`);
  }
}

function checkAnswer(context: CheckContext, route: RouteConfig, path: Path): void {
  const { upstream, respond } = route;
  if ((upstream === undefined) === (respond === undefined)) context.error(path, 'needs either upstream or respond');
  if (upstream !== undefined && !context.declared.upstreams.includes(upstream)) {
    const near = suggestion(upstream, context.declared.upstreams);
    context.error([...path, 'upstream'], `unknown upstream ${context.show(upstream)}${near}`);
  }
  if (route.upstreamPath !== undefined) checkUpstreamPath(context, route.upstreamPath, route, path);
  if (respond === undefined) return;
  const at = [...path, 'respond'];
  if (respond.json !== undefined && respond.text !== undefined) context.error(at, 'has either json or text');
  if ([204, 205, 304].includes(respond.status) && (respond.json !== undefined || respond.text !== undefined)) {
    context.error(at, `an answer with status ${respond.status} has no body`);
  }
  if (route.mcp !== undefined) context.error([...path, 'mcp'], 'has no meaning beside respond');
}

function checkUpstreamPath(context: CheckContext, upstreamPath: string, route: RouteConfig, path: Path): void {
  const at = [...path, 'upstreamPath'];
  if (route.upstream === undefined) context.error(at, 'needs an upstream');
  if (!isPlainPath(upstreamPath.replace(/\*$/, ''))) {
    context.error(at, 'expected a plain path (no dot segments, empty segments, encoded separators)');
  }
  if (upstreamPath.endsWith('/*') && !route.path.endsWith('/*')) {
    context.error(at, 'ends with /*, and the path of the route does not');
  }
}

/** Demands that would be written down and then not hold. */
function checkEnforceable(context: CheckContext, route: RouteConfig, path: Path): void {
  const { authenticate, scopes, rules, mcp } = route;
  if (mcp !== undefined && scopes !== undefined) context.error([...path, 'scopes'], 'belongs into mcp.rules here');
  if (mcp !== undefined && rules !== undefined) context.error([...path, 'rules'], 'belong into mcp.rules here');
  if (route.websocket && (mcp !== undefined || route.upstream === undefined)) {
    context.error([...path, 'websocket'], 'belongs to path routes with an upstream');
  } else if (route.websocket && route.methods?.includes('GET') === false) {
    context.error([...path, 'websocket'], 'needs GET among the methods: a WebSocket begins with it');
  }
  if (authenticate !== 'none') return;
  if (scopes !== undefined) context.error([...path, 'scopes'], 'cannot be enforced with authenticate: none');
  if (mcp !== undefined) context.error([...path, 'mcp'], 'needs callers that are authenticated');
}

/** On MCP routes those of HTTP and MCP are settled: what else of them passed would be compressed, or of another session. */
function checkForwardHeaders(context: CheckContext, route: RouteConfig, path: Path): void {
  const { mcp, forwardHeaders } = route;
  const isPathRoute = mcp === undefined && route.upstream !== undefined;
  if (!isPathRoute && forwardHeaders.length > 0) {
    const where = mcp === undefined ? 'belongs to routes with an upstream' : 'belongs into mcp.forwardHeaders here';
    context.error([...path, 'forwardHeaders'], where);
  }
  const { authenticators = {}, upstreams = {} } = context.draft;
  const taken = [...presetHeadersOf(mcp), ...configuredHeaders({ authenticators, upstreams }).map(foldHeaderName)];
  const at = mcp === undefined ? [...path, 'forwardHeaders'] : [...path, 'mcp', 'forwardHeaders'];
  (mcp?.forwardHeaders ?? forwardHeaders).forEach((header, index) => {
    const folded = foldHeaderName(header);
    const isSettled = mcp !== undefined && isProtocolHeader(folded);
    if (isSettled || isNeverForwarded(folded) || taken.includes(folded)) {
      context.error([...at, index], `${context.show(header)} is never taken over from a client`);
    }
  });
}

function checkMcp(context: CheckContext, route: RouteConfig, mcp: McpConfig, path: Path): void {
  const at = [...path, 'mcp'];
  route.methods?.forEach((method, index) => {
    if (!mcpRouteMethods.includes(method)) {
      context.error([...path, 'methods', index], 'is no method of MCP, which has POST, GET and DELETE');
    }
  });
  if (route.methods !== undefined && !route.methods.includes('POST')) {
    context.error([...path, 'methods'], 'must hold POST, in which MCP messages come');
  }
  mcp.challengeScopes?.forEach((scope, index) => {
    if (scope !== offlineAccessScope) return;
    const reason = 'is between a client and its authorization server; no challenge asks for it';
    context.error([...at, 'challengeScopes', index], `${context.show(scope)} ${reason}`);
  });
  checkSessionKeys(context, mcp.sessionKeyFiles, [...at, 'sessionKeyFiles']);
  if (rulesOf(mcp).length === 0) context.warn(at, 'has no rules: every call of a tool, resource or prompt is denied');
}

function checkSessionKeys(context: CheckContext, files: readonly string[], path: Path): void {
  const keys = files.map((file, index) => readAt(context, [...path, index], file, parseSessionKey));
  keys.forEach((key, index) => {
    const first = keys.findIndex((other) => key !== undefined && other?.equals(key));
    if (first !== -1 && first < index)
      context.warn([...path, index], `holds the same key as sessionKeyFiles[${first}]`);
  });
}

function checkShadow(context: CheckContext, routes: readonly RouteConfig[], index: number): void {
  const route = routes[index]!;
  const by = routes.slice(0, index).findIndex((earlier) => {
    return pathPatternCovers(earlier.path, route.path) && methodsCover(methodsOf(earlier), methodsOf(route));
  });
  if (by === -1) return;
  context.warn(
    ['routes', index, 'path'],
    `can never match: routes[${by}] ${context.show(routes[by]!.name)} comes first and covers it`,
  );
}

function methodsOf({ methods, mcp }: RouteConfig): readonly string[] {
  return methods ?? (mcp === undefined ? pathRouteMethods : mcpRouteMethods);
}

function methodsCover(wider: readonly string[], narrower: readonly string[]): boolean {
  const accepted = new Set(wider);
  return narrower.every((each) => acceptsMethod(accepted, each));
}

/** A token for a route is a token for its resource: an authenticator that accepts other audiences only would refuse every one. */
function checkAudiences(context: CheckContext, routes: readonly RouteConfig[]): void {
  for (const [name, config] of Object.entries(context.draft.authenticators ?? {})) {
    if (!('audience' in config) || config.audience === undefined || config.audienceForm !== 'resource') continue;
    const accepted = [config.audience].flat();
    const users = routes.filter((route) => authenticatorNamesOf(route.authenticate).includes(name));
    for (const route of users) {
      if (accepted.includes(route.resource)) continue;
      const resource = `${context.show(route.resource)}, the resource of route ${context.show(route.name)}`;
      context.error(['authenticators', name, 'audience'], `does not hold ${resource}`);
    }
  }
}

/** The metadata of a resource is found by its path alone: on another host it would be the same document. */
function checkMetadataPaths(context: CheckContext, routes: readonly RouteConfig[]): void {
  const first = new Map<string, RouteConfig>();
  routes.forEach((route, index) => {
    if (authorizationServersOf(route.authenticate, context.draft.authenticators ?? {}).length === 0) return;
    const pathname = metadataPathOf(route.resource);
    const other = first.get(pathname) ?? route;
    first.set(pathname, other);
    if (other.resource === route.resource) return;
    const at = ['routes', index, 'resource'];
    const taken = `${context.show(other.resource)}, the resource of route ${context.show(other.name)}`;
    context.error(context.isWritten(at) ? at : ['routes', index], `its metadata would be where that of ${taken}, is`);
  });
}
