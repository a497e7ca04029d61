// Compiled routes: requirements, policy and upstream or fixed response of each route.
import { authorizationServersOf, compileRequestedScopes } from '../authn/authorization-servers.ts';
import { subjectKey } from '../authn/caller/principal.ts';
import type { AuthenticatorSet } from '../authn/registry.ts';
import { compileRequirements, type Requirements } from '../authn/requirements.ts';
import { type AcceptedBindings, acceptedBindings } from '../authn/token/binding/accepted-bindings.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { Config, RouteConfig } from '../config/schema/config.ts';
import { mcpRouteMethods, pathRouteMethods } from '../config/schema/routes.ts';
import type { ChallengeSource } from '../http/challenge.ts';
import type { RoutePattern } from '../http/route-matcher.ts';
import { metadataUrlOf, offlineAccessScope, otherFormOf } from '../http/well-known.ts';
import type { Limit } from '../limits/limit.ts';
import { compileSessions, type RouteSessions, type SessionMemory } from '../mcp/session.ts';
import { parseSessionKey } from '../mcp/session-key.ts';
import { type Policy, scopesOf } from '../policy/rule.ts';
import type { PathMapping } from '../upstream/path-mapping.ts';
import { compileRequestHeaders, type ShapeRequestHeaders } from '../upstream/request-headers.ts';
import type { Upstream } from '../upstream/upstream.ts';
import type { RoutePins } from './catalog/route-pins.ts';
import type { RouteHits } from './rule-hits.ts';
import type { AuthorizeCaller, UpstreamIdentity } from './upstreams/upstream-credential.ts';
import type { PooledUpstreams } from './upstreams/upstream-set.ts';

/** The MCP part of a route. */
export type McpRoute = NonNullable<RouteConfig['mcp']>;

/** A compiled route. */
export interface Route extends RoutePattern {
  /** The challenge without error parameters, or undefined where no credential is asked for. */
  readonly challenge: ChallengeSource | undefined;
  /** The challenge at the path of the resource's other form, with a trailing slash or without; undefined where the resource has only one. */
  readonly otherForm: { readonly path: string; readonly challenge: ChallengeSource } | undefined;
  readonly methods: ReadonlySet<string>;
  readonly mcp: McpRoute | undefined;
  /** Request headers that are forwarded besides those of HTTP or MCP. */
  readonly forwardHeaders: readonly string[];
  /** Of MCP routes with an upstream. A session belongs to the principal that opened it. */
  readonly sessions: RouteSessions | undefined;
  /** Of MCP routes with a catalogue: the definitions that the upstream may show. */
  readonly pins: RoutePins | undefined;
  readonly resource: string;
  /** Issuers of accepted tokens. */
  readonly authorizationServers: readonly string[];
  /** Sender constraints that the route accepts. */
  readonly bindings: AcceptedBindings;
  readonly requirements: Requirements;
  readonly policy: Policy;
  readonly hits: RouteHits;
  /** Of all its requests that the policy allows. */
  readonly limits: readonly Limit[];
  /** The largest request body; undefined for the default of the server. */
  readonly bodyBytes: number | undefined;
  /** Requests may switch to the WebSocket protocol (RFC 6455). */
  readonly websocket: boolean;
  /** Undefined on routes with a fixed response. */
  readonly upstream: RouteUpstream | undefined;
  readonly respond: ((method: string, path: string) => Answer) | undefined;
  /** A public document, which pages of every origin may read: Origin is not checked. */
  readonly anyOrigin: boolean;
}

/** A fixed answer (`respond`). */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** The upstream of a route, with its identity. */
export interface RouteUpstream {
  readonly target: Upstream;
  readonly paths: PathMapping;
  readonly shapeRequest: ShapeRequestHeaders;
  /** Undefined where the upstream gets no credential of the caller. */
  readonly authorize: AuthorizeCaller | undefined;
  readonly claimsOf: UpstreamIdentity['claimsOf'] | undefined;
}

/** The sessions of an MCP route; undefined elsewhere. */
export function compileRouteSessions(
  route: RouteConfig,
  loaded: LoadedConfig,
  memory: SessionMemory,
): Route['sessions'] {
  const upstream = loaded.config.upstreams[route.upstream ?? ''];
  if (route.mcp === undefined || route.upstream === undefined || upstream === undefined) return undefined;
  const keys = route.mcp.sessionKeyFiles.map((path) => loaded.files.parse(path, parseSessionKey));
  const address = upstream.url + (route.upstreamPath ?? '');
  return compileSessions(keys, { route: route.name, upstream: route.upstream, address }, memory, subjectKey);
}

/** Compiles a route of the configuration, apart from its sessions, pins and hits. Throws where it cannot be used. */
export function compileRoute(
  route: RouteConfig,
  { config, policies }: LoadedConfig,
  authenticators: AuthenticatorSet,
  upstreams: PooledUpstreams,
  pathsOf: (route: RouteConfig) => PathMapping,
  limits: ReadonlyMap<string, Limit>,
): Omit<Route, 'sessions' | 'pins' | 'hits'> {
  const { mcp, resource } = route;
  const requirements = compileRequirements(route, authenticators.byName, config.scopeImplies);
  const authorizationServers = authorizationServersOf(route.authenticate, config.authenticators);
  const bindings = acceptedBindings(requirements, authenticators);
  const policy = policies.get(route.name);
  if (policy === undefined) throw new Error(`route ${route.path}: no policy was compiled`);
  const challenge: Route['challenge'] =
    requirements.kind === 'none'
      ? undefined
      : {
          scope: (mcp?.challengeScopes ?? scopesOf(policy)).filter((scope) => scope !== offlineAccessScope),
          requestedScopes: compileRequestedScopes(route.authenticate, config.authenticators),
          resource,
          metadataUrl: authorizationServers.length > 0 ? metadataUrlOf(resource).href : undefined,
          dpopAlgorithms: bindings.dpopAlgorithms.join(' ') || undefined,
        };
  return {
    name: route.name ?? route.path,
    path: route.path,
    methods: methodsOf(route),
    mcp,
    forwardHeaders: mcp?.forwardHeaders ?? route.forwardHeaders,
    resource,
    authorizationServers,
    bindings,
    requirements,
    policy,
    limits: route.limits.map((name) => limits.get(name)!),
    bodyBytes: route.bodyBytes,
    websocket: route.websocket,
    upstream: route.upstream === undefined ? undefined : compileUpstream(route, config, upstreams, pathsOf),
    respond: route.respond && compileAnswer(route.respond),
    challenge,
    otherForm: challenge && otherFormOfChallenge(challenge),
    anyOrigin: false,
  };
}

/** The methods that a route answers. */
export function methodsOf({ mcp, methods }: RouteConfig): ReadonlySet<string> {
  return new Set(methods ?? (mcp === undefined ? pathRouteMethods : mcpRouteMethods));
}

function otherFormOfChallenge(challenge: ChallengeSource): Route['otherForm'] {
  const resource = otherFormOf(challenge.resource);
  const path = new URL(resource).pathname;
  if (path === '/' || challenge.metadataUrl === undefined) return undefined;
  return { path, challenge: { ...challenge, resource, metadataUrl: metadataUrlOf(resource).href } };
}

/** The challenge of a route for a request at this path. */
export function challengeAt(path: string, { challenge, otherForm }: Route): ChallengeSource | undefined {
  return otherForm?.path === path ? otherForm.challenge : challenge;
}

function compileUpstream(
  route: RouteConfig,
  config: Config,
  upstreams: PooledUpstreams,
  pathsOf: (route: RouteConfig) => PathMapping,
): Route['upstream'] {
  const pooled = upstreams.get(route.upstream!);
  const upstream = config.upstreams[route.upstream!];
  if (pooled === undefined || upstream === undefined)
    throw new Error(`route ${route.path}: unknown upstream "${route.upstream}"`);
  return {
    target: pooled.target,
    paths: pathsOf(route),
    shapeRequest: compileRequestHeaders(config, upstream, route),
    authorize: pooled.identity?.authorize,
    claimsOf: pooled.identity?.claimsOf,
  };
}

function compileAnswer(respond: NonNullable<RouteConfig['respond']>): NonNullable<Route['respond']> {
  const json = respond.json !== undefined;
  const body = json ? JSON.stringify(respond.json) : (respond.text ?? '');
  const answer = {
    status: respond.status,
    headers: { 'content-type': json ? 'application/json' : 'text/plain; charset=utf-8' },
    body,
  };
  return () => answer;
}
