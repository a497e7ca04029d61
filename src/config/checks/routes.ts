// Checks of `routes`: one answer each, nothing that cannot be enforced, no route behind a wider one.
import { authorizationServersOf } from '../../authn/authorization-servers.ts';
import { authenticatorNamesOf } from '../../authn/requirements.ts';
import { isPlainPath } from '../../http/path.ts';
import { metadataUrlOf, neverAskedFor } from '../../http/well-known.ts';
import { compileMetaTools } from '../../mcp/meta-tools.ts';
import { parseSessionKey } from '../../mcp/session-key.ts';
import { rulesOf } from '../../policy/presets.ts';
import { pathCovers } from '../../policy/selectors.ts';
import type { Path } from '../problem.ts';
import type { McpConfig, RouteConfig } from '../schema/config.ts';
import { mcpRouteMethods, pathRouteMethods } from '../schema/routes.ts';
import { suggestion } from '../suggestion.ts';
import { checkAuthenticate } from './authenticate.ts';
import { readAt } from './certificates.ts';
import { foldHeaderName, isIdentityHeader, isPresetHeader, isProtocolHeader } from './header-names.ts';
import type { Review } from './report.ts';
import { checkRules } from './rules.ts';

const ownPaths = ['/.well-known/oauth-protected-resource/*', '/.well-known/jwks.json'];
const mirroredPath = '/.well-known/oauth-authorization-server';

export function checkRoutes(review: Review): void {
  const routes = review.draft.routes ?? [];
  checkNames(review, routes);
  routes.forEach((route, index) => {
    const path: Path = ['routes', index];
    checkPath(review, route, path);
    checkAuthenticate(review, route, path);
    checkAnswer(review, route, path);
    checkEnforceable(review, route, path);
    if (route.mcp !== undefined) checkMcp(review, route, route.mcp, path);
    checkRules(review, route, path);
    checkShadow(review, routes, index);
  });
  checkAudiences(review, routes);
  checkMetadataPaths(review, routes);
}

function checkNames(review: Review, routes: readonly RouteConfig[]): void {
  const first = new Map<string, number>();
  routes.forEach(({ name }, index) => {
    const other = first.get(name);
    if (other === undefined) first.set(name, index);
    else if (review.isWritten(['routes', index, 'name'])) {
      review.error(['routes', index, 'name'], `${review.show(name)} is the name of routes[${other}] already`);
    } else review.error(['routes', index], `needs a name, since routes[${other}] is named ${review.show(name)} too`);
  });
}

function checkPath(review: Review, route: RouteConfig, path: Path): void {
  const at = [...path, 'path'];
  const base = route.path.replace(/\*$/, '');
  if (!isPlainPath(base)) {
    review.error(at, 'can never match: such paths are refused (dot segments, empty segments, encoded separators)');
  } else if (ownPaths.some((own) => pathCovers(own, route.path))) {
    review.error(at, 'is served by the gateway itself');
  } else if (base === mirroredPath && review.draft.server?.authorizationServerMetadata === 'mirror') {
    const advice = 'set server.authorizationServerMetadata: off to answer it yourself';
    review.error(at, `is where the gateway repeats its issuer's metadata; ${advice}`);
  }
}

function checkAnswer(review: Review, route: RouteConfig, path: Path): void {
  const { upstream, respond } = route;
  if ((upstream === undefined) === (respond === undefined)) review.error(path, 'needs either upstream or respond');
  if (upstream !== undefined && !review.declared.upstreams.includes(upstream)) {
    const near = suggestion(upstream, review.declared.upstreams);
    review.error([...path, 'upstream'], `unknown upstream ${review.show(upstream)}${near}`);
  }
  if (respond === undefined) return;
  const at = [...path, 'respond'];
  if (respond.json !== undefined && respond.text !== undefined) review.error(at, 'has either json or text');
  if ([204, 205, 304].includes(respond.status) && (respond.json !== undefined || respond.text !== undefined)) {
    review.error(at, `an answer with status ${respond.status} has no body`);
  }
  if (route.mcp !== undefined) review.error([...path, 'mcp'], 'has no meaning beside respond');
}

/** What would be written down and then not hold. */
function checkEnforceable(review: Review, route: RouteConfig, path: Path): void {
  const { authenticate, scopes, rules, mcp } = route;
  if (mcp === undefined && scopes !== undefined && rules !== undefined) {
    review.error([...path, 'scopes'], 'is short for one rule; it cannot stand beside rules');
  }
  if (mcp !== undefined && scopes !== undefined) review.error([...path, 'scopes'], 'belongs into mcp.rules here');
  if (mcp !== undefined && rules !== undefined) review.error([...path, 'rules'], 'belong into mcp.rules here');
  if (authenticate !== 'none') return;
  if (scopes !== undefined) review.error([...path, 'scopes'], 'cannot be enforced with authenticate: none');
  if (mcp !== undefined) review.error([...path, 'mcp'], 'needs callers that are authenticated');
}

function checkMcp(review: Review, route: RouteConfig, mcp: McpConfig, path: Path): void {
  const at = [...path, 'mcp'];
  route.methods?.forEach((method, index) => {
    if (!mcpRouteMethods.includes(method)) {
      review.error([...path, 'methods', index], 'is no method of MCP, which has POST, GET and DELETE');
    }
  });
  if (route.methods !== undefined && !route.methods.includes('POST')) {
    review.error([...path, 'methods'], 'must hold POST, in which MCP messages come');
  }
  mcp.forwardHeaders.forEach((header, index) => {
    const taken = isProtocolHeader(header) || isIdentityHeader(header) || isPresetHeader(mcp, header);
    if (taken || isConfiguredHeader(review, header)) {
      review.error([...at, 'forwardHeaders', index], `${review.show(header)} is never taken over from a client`);
    }
  });
  mcp.challengeScopes?.forEach((scope, index) => {
    if (scope !== neverAskedFor) return;
    const reason = 'is between a client and its authorization server; no challenge asks for it';
    review.error([...at, 'challengeScopes', index], `${review.show(scope)} ${reason}`);
  });
  checkSessionKeys(review, mcp.sessionKeyFiles, [...at, 'sessionKeyFiles']);
  checkMetaTools(review, mcp, [...at, 'metaTools']);
  if (rulesOf(mcp).length === 0) review.warn(at, 'has no rules: every call of a tool, resource or prompt is denied');
}

function checkSessionKeys(review: Review, files: readonly string[], path: Path): void {
  const keys = files.map((file, index) => readAt(review, [...path, index], file, parseSessionKey));
  keys.forEach((key, index) => {
    const first = keys.findIndex((other) => key !== undefined && other?.equals(key));
    if (first !== -1 && first < index) review.warn([...path, index], `holds the same key as sessionKeyFiles[${first}]`);
  });
}

function checkMetaTools(review: Review, { metaTools }: McpConfig, at: Path): void {
  for (const [name, tool] of Object.entries(metaTools)) {
    try {
      compileMetaTools({ [name]: tool });
    } catch (error) {
      review.error([...at, name], (error as Error).message);
    }
  }
}

function isConfiguredHeader(review: Review, header: string): boolean {
  const { authenticators, upstreams } = review.draft;
  const keyHeaders = Object.values(authenticators ?? {}).map((each) => (each.type === 'apiKey' ? [each.header] : []));
  const identity = Object.values(upstreams ?? {}).map(({ identity: { headers } }) =>
    typeof headers === 'object' ? Object.values(headers) : [],
  );
  return [...keyHeaders, ...identity].flat().some((name) => foldHeaderName(name) === foldHeaderName(header));
}

function checkShadow(review: Review, routes: readonly RouteConfig[], index: number): void {
  const route = routes[index]!;
  const by = routes.slice(0, index).findIndex((earlier) => {
    return pathCovers(earlier.path, route.path) && methodsCover(methodsOf(earlier), methodsOf(route));
  });
  if (by === -1) return;
  review.warn(
    ['routes', index, 'path'],
    `can never match: routes[${by}] ${review.show(routes[by]!.name)} comes first and covers it`,
  );
}

function methodsOf({ methods, mcp }: RouteConfig): readonly string[] {
  return methods ?? (mcp === undefined ? pathRouteMethods : mcpRouteMethods);
}

/** HEAD follows GET. */
function methodsCover(wider: readonly string[], narrower: readonly string[]): boolean {
  return narrower.every((each) => wider.includes(each) || (each === 'HEAD' && wider.includes('GET')));
}

/** A token for a route is a token for its resource: an authenticator that accepts other audiences only would refuse every one. */
function checkAudiences(review: Review, routes: readonly RouteConfig[]): void {
  for (const [name, config] of Object.entries(review.draft.authenticators ?? {})) {
    if (!('audience' in config) || config.audience === undefined || config.audienceForm !== 'resource') continue;
    const accepted = [config.audience].flat();
    const users = routes.filter((route) => authenticatorNamesOf(route.authenticate).includes(name));
    for (const route of users) {
      if (accepted.includes(route.resource)) continue;
      const resource = `${review.show(route.resource)}, the resource of route ${review.show(route.name)}`;
      review.error(['authenticators', name, 'audience'], `does not hold ${resource}`);
    }
  }
}

/** The metadata of a resource is found by its path alone: on another host it would be the same document. */
function checkMetadataPaths(review: Review, routes: readonly RouteConfig[]): void {
  const first = new Map<string, RouteConfig>();
  routes.forEach((route, index) => {
    if (authorizationServersOf(route, { authenticators: review.draft.authenticators ?? {} }).length === 0) return;
    const { pathname } = metadataUrlOf(route.resource);
    const other = first.get(pathname) ?? route;
    first.set(pathname, other);
    if (other.resource === route.resource) return;
    const at = ['routes', index, 'resource'];
    const taken = `${review.show(other.resource)}, the resource of route ${review.show(other.name)}`;
    review.error(review.isWritten(at) ? at : ['routes', index], `its metadata would be where that of ${taken}, is`);
  });
}
