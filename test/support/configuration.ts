// The configuration of the scenario, and changes laid over it.
import { createHash } from 'node:crypto';
import { stringify } from 'yaml';

/** A configuration as plain objects, section by section. */
export type Configuration = Readonly<Record<string, unknown>>;

/**
 * What differs from the scenario's configuration. Objects are laid over objects, everything else replaces what was there, `undefined` takes it out; an
 * object with a `type` of its own is whole. A list of routes replaces all of them; by their paths they are changed one by one, and new ones come behind.
 */
export interface Changes extends Configuration {
  readonly server?: Configuration;
  readonly authenticators?: Readonly<Record<string, Configuration | undefined>>;
  readonly upstreams?: Readonly<Record<string, Configuration | undefined>>;
  readonly routes?: readonly RouteChange[] | Readonly<Record<string, RouteChange | undefined>>;
}

/** A route; without `upstream` and `respond` it leads to `superset`, without `authenticate` it takes the tokens of `corp`. */
export type RouteChange = Configuration & { readonly path?: string };

export const publicUrl = 'https://mcp.example.com';

/** The reporting tool's key. */
export const apiKey = `sk_${'k'.repeat(43)}`;

/** An entry of an `apiKey` authenticator: the reporting tool's, unless `more` says otherwise. */
export function keyEntry(id: string, key: string, more: Configuration = {}): Configuration {
  return {
    id,
    hash: hashOf(key),
    clientId: 'reporting_tool',
    scopes: ['dashboards:read', 'queries:read', 'exports:create'],
    expires: '2099-01-01',
    ...more,
  };
}

/** The hash of a key as the configuration has it. */
export function hashOf(key: string): string {
  return `sha256:${createHash('sha256').update(key).digest('hex')}`;
}

/** Who may list dashboards; the one rule of the scenario's MCP route. */
export const listDashboards = {
  allow: { tools: ['list_dashboards'] },
  require: { scopes: ['dashboards:read'] },
} as const;

export interface Surroundings {
  readonly upstreamUrl: string;
  readonly issuer: string;
  /** TLS with `tls.crt`, `tls.key` and `clients-ca.crt`; certificates of clients are optional, and the AI agent's is on the allowlist. */
  readonly tls?: boolean;
}

/** The whole configuration: the scenario's, with the changes laid over it one after the other. */
export function configure({ upstreamUrl, issuer, tls = false }: Surroundings, ...changes: Changes[]): Configuration {
  const scenario: Configuration & { readonly routes: readonly RouteChange[] } = {
    version: 1,
    server: {
      listen: '127.0.0.1:0',
      publicUrl,
      // Tests refuse more than one caller gets.
      limits: { refusalsPerAddress: '100000/s' },
      ...(tls && {
        tls: {
          certFile: 'tls.crt',
          keyFile: 'tls.key',
          clientCertificates: 'optional',
          clientCaFile: 'clients-ca.crt',
        },
      }),
    },
    admin: { listen: '127.0.0.1:0' },
    authenticators: {
      corp: { type: 'jwt', issuer },
      keys: { type: 'apiKey', keys: [keyEntry('k1', apiKey)] },
      ...(tls && {
        workloads: { type: 'mtls', allow: [{ commonName: 'client-ai-agent-1', clientId: 'ai_agent_prod' }] },
      }),
    },
    upstreams: { superset: { url: upstreamUrl } },
    routes: [
      { path: '/mcp', authenticate: { anyOf: ['corp', 'keys'] }, mcp: { rules: [listDashboards] } },
      { path: '/api/*', authenticate: { anyOf: ['corp', 'keys'] }, scopes: ['dashboards:read'] },
      { path: '/open/*', authenticate: 'none' },
      { path: '/health', authenticate: 'none', respond: { json: { status: 'healthy' } } },
    ],
    audit: { sinks: [{ type: 'file', path: 'audit.jsonl', fsync: 'never' }] },
  };
  const { routes, ...sections } = changes.reduce<typeof scenario>(change, scenario);
  return { ...sections, routes: routes.map(complete) };
}

function change<C extends { readonly routes: readonly RouteChange[] }>(configuration: C, changes: Changes): C {
  const { routes: routeChanges = {}, ...sections } = changes;
  const { routes, ...others } = configuration;
  return {
    ...(overlay(others, sections) as C),
    routes: isList(routeChanges) ? routeChanges : changeRoutes(routes, routeChanges),
  };
}

function changeRoutes(routes: readonly RouteChange[], changes: Readonly<Record<string, RouteChange | undefined>>) {
  const changed = routes.map((route) =>
    route.path! in changes ? (overlay(route, changes[route.path!]) as RouteChange | undefined) : route,
  );
  const added = Object.entries(changes).filter(([path]) => !routes.some((route) => route.path === path));
  return [...changed, ...added.map(([path, route]) => ({ path, ...route }))].filter((route) => route !== undefined);
}

function complete(route: RouteChange): RouteChange {
  return { authenticate: 'corp', ...(!('respond' in route) && { upstream: 'superset' }), ...route };
}

/** The resource identifiers of the routes, which tokens have to be for. */
export function resourcesOf(configuration: Configuration): string[] {
  const routes = configuration.routes as readonly { readonly path: string; readonly resource?: string }[];
  const all = routes.map(({ path, resource }) => resource ?? publicUrl + path.replace(/\/\*$/, ''));
  return [...new Set(all)];
}

/** As a file of YAML. */
export function yamlOf(configuration: Configuration): string {
  return stringify(configuration);
}

/** Lays `changes` over `base` as `Changes` says. */
export function overlay(base: unknown, changes: unknown): unknown {
  if (!isObject(base) || !isObject(changes) || 'type' in changes) return changes;
  const names = new Set([...Object.keys(base), ...Object.keys(changes)]);
  const members = [...names].map((name) => [name, name in changes ? overlay(base[name], changes[name]) : base[name]]);
  return Object.fromEntries(members.filter(([, value]) => value !== undefined));
}

function isObject(value: unknown): value is Configuration {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isList<T>(value: readonly T[] | object): value is readonly T[] {
  return Array.isArray(value);
}
