// Snapshot: the immutable compiled form of a configuration. A request uses the one in force at its start to its end.
import type { CallerPart, DecisionPart } from '../audit/encode.ts';
import type { AuthenticatorRuntime } from '../authn/authenticator-type.ts';
import type { Principal } from '../authn/caller/principal.ts';
import { type AuthenticatorSet, createAuthenticators } from '../authn/registry.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { Config } from '../config/schema/config.ts';
import { compileClientAddress, type ForwardingHeaders } from '../http/client-address.ts';
import { isLocal, parseListenAddress } from '../http/connection/listen-address.ts';
import { compileHostPolicy, type HostPolicy } from '../http/host.ts';
import { compileRoutes, type RouteMatch } from '../http/route-matcher.ts';
import { compilePeers, type NetworkMatcher } from '../ip-ranges.ts';
import { compileLimits, type Limit } from '../limits/limit.ts';
import { createSessionMemory, type SessionMemory } from '../mcp/session.ts';
import type { Tracing } from '../telemetry/tracing.ts';
import { createEphemeralKeys, type EphemeralKeys, publishedKeySet } from '../upstream/identity/assertion-key.ts';
import { compilePathMappings } from '../upstream/path-mapping.ts';
import { compileRoutePins, type PinsRuntime } from './catalog/route-pins.ts';
import { compileRoute, compileRouteSessions, type Route } from './route.ts';
import { compileRouteHits } from './rule-hits.ts';
import { openShadow, type Shadow } from './shadow.ts';
import type { SharedKeys } from './siblings.ts';
import { openUpstreams, type PooledUpstreams, type UpstreamsRuntime } from './upstreams/upstream-set.ts';
import { metadataRoutes } from './well-known-routes.ts';

/** The compiled form of one configuration. */
export interface Snapshot {
  readonly hash: string;
  readonly config: Config;
  /** Of the configuration, in its order. */
  readonly routes: readonly Route[];
  readonly match: (method: string, path: string) => RouteMatch<Route>;
  readonly hosts: HostPolicy;
  /** True for the hops whose headers are believed: many clients share their connections. */
  readonly isProxy: NetworkMatcher;
  readonly clientAddress: (peer: string, headers: ForwardingHeaders) => string;
  readonly authenticators: AuthenticatorSet;
  readonly upstreams: PooledUpstreams;
  readonly limits: ReadonlyMap<string, Limit>;
  /** Encoded parts of each principal's last audit record, as long as the principal lives. */
  readonly lastEncodings: WeakMap<Principal, LastEncoding>;
  readonly sessionMemory: SessionMemory;
  readonly ephemeralKeys: EphemeralKeys;
  /** The key set that upstreams verify assertions with, as JSON; undefined when none has an assertion. */
  readonly publishedKeys: string | undefined;
  readonly shadow: Shadow | undefined;
  /** Undefined where nothing is traced. */
  readonly tracing: Tracing | undefined;
}

/** Parts of an audit record with their encoded text. The next record of a principal mostly has the same ones. */
export interface LastEncoding {
  caller?: { readonly of: CallerPart; readonly text: string };
  decision?: { readonly of: DecisionPart; readonly text: string };
}

/** Process-wide state that outlives a snapshot. */
export interface SnapshotRuntime
  extends AuthenticatorRuntime,
    Pick<PinsRuntime, 'definitionChanged'>,
    Pick<UpstreamsRuntime, 'limitShares'> {
  /** Of all processes; undefined for one by itself, which makes its own. */
  readonly sharedKeys?: SharedKeys | undefined;
  readonly observe: AuthenticatorRuntime['observe'] & UpstreamsRuntime['observe'];
}

/** Compiles a loaded configuration. Unchanged connections and key sets of `previous` are carried over. Throws an Error when it cannot be used. */
export function compileSnapshot(
  loaded: LoadedConfig,
  runtime: SnapshotRuntime,
  previous: Snapshot | undefined,
  tracing?: Tracing,
): Snapshot {
  const { config } = loaded;
  const authenticators = createAuthenticators(loaded, runtime, previous?.authenticators);
  const shadow = openShadow(loaded.shadow, runtime, { config, authenticators }, previous?.shadow);
  const ephemeralKeys = previous?.ephemeralKeys ?? runtime.sharedKeys?.assertion ?? createEphemeralKeys();
  const upstreams = openUpstreams(loaded, runtime, previous?.upstreams, ephemeralKeys);
  const publishedKeys = publishedKeySet([...upstreams.values()].flatMap(({ identity }) => identity?.keys ?? []));
  const limits = compileLimits(config.limits);
  const sessionMemory = previous?.sessionMemory ?? createSessionMemory(runtime.sharedKeys?.session);
  const pathsOf = compilePathMappings(config);
  const before = new Map(
    previous?.routes.map((route, index) => [route.name, { ...route, config: previous.config.routes[index]! }]),
  );
  const routes = config.routes.map((route) => ({
    ...compileRoute(route, loaded, authenticators, upstreams, pathsOf, limits),
    sessions: compileRouteSessions(route, loaded, sessionMemory),
    pins: compileRoutePins(route, loaded, upstreams, runtime, before.get(route.name)?.pins),
    hits: compileRouteHits(route, before.get(route.name), runtime.now()),
  }));
  return {
    hash: loaded.hash,
    config,
    routes,
    match: compileRoutes([...metadataRoutes(routes, config, authenticators, publishedKeys), ...routes]),
    hosts: compileHosts(config),
    isProxy: compileProxies(config),
    clientAddress: compileClientAddress(config.server.trustedProxies),
    authenticators,
    upstreams,
    limits,
    lastEncodings: new WeakMap(),
    sessionMemory,
    ephemeralKeys,
    publishedKeys,
    shadow,
    tracing,
  };
}

/** The hosts that the public listener serves. */
export function compileHosts({ server }: Pick<Config, 'server'>): HostPolicy {
  return compileHostPolicy({ ...server, onLoopback: isLocal(parseListenAddress(server.listen)) });
}

/** The hops whose headers are believed. */
export function compileProxies({ server }: Pick<Config, 'server'>): NetworkMatcher {
  return compilePeers([...server.trustedProxies, ...(server.clientCertificateHeader?.from ?? [])]);
}
