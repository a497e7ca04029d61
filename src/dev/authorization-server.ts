// Development authorization server: oidc-provider on loopback, state in memory, access tokens as JWTs (RFC 9068).
import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { LRUCache } from 'lru-cache';
import type { AdapterPayload, Client, Provider } from 'oidc-provider';
import { answerInteraction } from './consent-page.ts';
import { listenOnLoopback } from './loopback.ts';
import { loadOptionalPackage } from './optional-package.ts';

/** Options of `startAuthorizationServer`. */
export interface AuthorizationServerOptions {
  /** TCP port; 0, the default, takes a free one. */
  readonly port?: number;
  /** Resource indicators (RFC 8707) that tokens are issued for. The first is the default. */
  readonly resources: readonly [string, ...string[]];
  readonly scopes: readonly string[];
  /** Confidential clients of the client credentials grant. Other clients register dynamically (RFC 7591). */
  readonly clients: readonly ConfidentialClient[];
  /** Default 3600. A function is called for each token. */
  readonly accessTokenLifetimeSeconds?: number | (() => number);
  /**
   * Clients that get refresh tokens: those that ask for `offline_access` (the default), or all that registered the grant.
   * Clients of SDK generation 1 never ask, and one that has a refresh token uses it where it should step up.
   */
  readonly refreshTokens?: 'offline_access' | 'registered';
  /** Subject of every log-in (`sub`). Default `analyst`. */
  readonly person?: string;
}

/** A client of the client credentials grant. */
export interface ConfidentialClient {
  readonly clientId: string;
  readonly clientSecret: string;
  readonly scopes: readonly string[];
  /** Default: that of the server. */
  readonly accessTokenLifetimeSeconds?: number;
}

/** A running authorization server. */
export interface AuthorizationServer {
  readonly issuer: string;
  readonly tokenEndpoint: string;
  close(): Promise<void>;
}

const monthSeconds = 30 * 86_400;

/** Starts the server on 127.0.0.1. Rejects when oidc-provider is not installed or the port is taken (EADDRINUSE). */
export async function startAuthorizationServer(options: AuthorizationServerOptions): Promise<AuthorizationServer> {
  const library = await loadOptionalPackage('oidc-provider', () => import('oidc-provider'));
  // The issuer contains the port, which is known once it is bound. Requests that come earlier wait for the handler.
  const ready = Promise.withResolvers<(request: IncomingMessage, response: ServerResponse) => void>();
  const server = await listenOnLoopback(options.port ?? 0, (request, response) => {
    void ready.promise.then((handle) => handle(request, response));
  });
  const provider = new library.Provider(server.origin, configuration(options, library.errors.InvalidTarget));
  ready.resolve(requestHandler(provider, options));
  return { issuer: server.origin, tokenEndpoint: `${server.origin}/token`, close: server.close };
}

function requestHandler(provider: Provider, options: AuthorizationServerOptions) {
  const protocol = provider.callback();
  const person = options.person ?? 'analyst';
  return (request: IncomingMessage, response: ServerResponse): void => {
    if (request.url?.startsWith('/interaction/') === true) {
      void answerInteraction({ provider, person, defaultResource: options.resources[0] }, request, response);
    } else {
      request.url = withDefaultScope(request.url ?? '', options.scopes);
      protocol(request, response);
    }
  };
}

/** Adds all scopes to an authorization request without one (RFC 6749 §3.3). Clients of MCP 2025-03-26 send none and cannot step up. */
function withDefaultScope(url: string, scopes: readonly string[]): string {
  if (!url.startsWith('/auth?') || /[?&]scope=/.test(url)) return url;
  return `${url}&scope=${encodeURIComponent(scopes.join(' '))}`;
}

interface ResourceToken {
  readonly resourceServer?: { readonly accessTokenTTL: number };
}

function configuration(options: AuthorizationServerOptions, InvalidTarget: new (description?: string) => Error) {
  const lifetime = options.accessTokenLifetimeSeconds ?? 3600;
  const lifetimeSeconds = typeof lifetime === 'function' ? lifetime : () => lifetime;
  const tokenLifetime = (_context: unknown, token: ResourceToken) =>
    token.resourceServer?.accessTokenTTL ?? lifetimeSeconds();
  return {
    adapter: createAdapters(),
    jwks: { keys: [signingKey()] },
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    // `native` allows the redirect URIs of MCP clients: loopback on any port, private schemes and https.
    clientDefaults: { application_type: 'native', id_token_signed_response_alg: 'ES256' },
    clients: options.clients.map(clientMetadata),
    ...(options.refreshTokens === 'registered' && {
      issueRefreshToken: async (_context: unknown, client: Client) => client.grantTypeAllowed('refresh_token'),
    }),
    scopes: ['openid', 'offline_access', ...options.scopes],
    clientBasedCORS: () => true,
    pkce: { required: () => true },
    findAccount: (_context: unknown, accountId: string) => ({ accountId, claims: () => ({ sub: accountId }) }),
    interactions: { url: (_context: unknown, interaction: { uid: string }) => `/interaction/${interaction.uid}` },
    renderError: (context: { type: string; body: string }, out: Record<string, unknown>) => {
      context.type = 'text/plain';
      context.body = `${out.error}: ${out.error_description ?? ''}\n`;
    },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      registration: { enabled: true },
      revocation: { enabled: true, allowedPolicy: () => true },
      rpInitiatedLogout: { enabled: false },
      resourceIndicators: resourceIndicators(options, InvalidTarget, lifetimeSeconds),
    },
    ttl: {
      AccessToken: tokenLifetime,
      ClientCredentials: tokenLifetime,
      AuthorizationCode: 60,
      IdToken: 3600,
      Interaction: 3600,
      Grant: monthSeconds,
      RefreshToken: monthSeconds,
      Session: monthSeconds,
    },
  };
}

function clientMetadata({ clientId, clientSecret, scopes }: ConfidentialClient) {
  return {
    client_id: clientId,
    client_secret: clientSecret,
    scope: scopes.join(' '),
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
  };
}

/** One audience for each token (RFC 8707), in JWT format (RFC 9068). */
function resourceIndicators(
  options: AuthorizationServerOptions,
  InvalidTarget: new (description?: string) => Error,
  lifetimeSeconds: () => number,
) {
  const lifetimes = new Map(options.clients.map((client) => [client.clientId, client.accessTokenLifetimeSeconds]));
  const known = new Set(options.resources.map(withoutSlash));
  return {
    enabled: true,
    defaultResource: () => options.resources[0],
    useGrantedResource: () => true,
    getResourceServerInfo: (_context: unknown, resource: string, client: Client) => {
      if (!known.has(withoutSlash(resource))) throw new InvalidTarget();
      return {
        scope: options.scopes.join(' '),
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: lifetimes.get(client.clientId) ?? lifetimeSeconds(),
        jwt: { sign: { alg: 'ES256' } },
      };
    },
  };
}

/** The metadata of the gateway name a resource with a trailing slash and without, as the client typed it. */
function withoutSlash(resource: string): string {
  return resource.replace(/\/$/, '');
}

function signingKey(): object {
  const { privateKey }: { privateKey: KeyObject } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomBytes(8).toString('hex'), alg: 'ES256', use: 'sig' };
}

/** One bounded store for all models of oidc-provider. Clients recover from an evicted entry by a new log-in. */
function createAdapters() {
  const store = new LRUCache<string, AdapterPayload>({ max: 10_000 });
  return (model: string) => {
    const find = async (id: string) => store.get(`${model}:${id}`);
    return {
      find,
      findByUid: async (uid: string) => [...store.values()].find((payload) => payload.uid === uid),
      findByUserCode: async () => undefined,
      upsert: async (id: string, { scope, ...payload }: AdapterPayload, expiresInSeconds?: number) => {
        const ttl = expiresInSeconds === undefined ? {} : { ttl: Math.max(1, expiresInSeconds * 1000) };
        // MCP clients register with the scope of their first challenge; kept, it would bar a later step-up.
        const kept = model === 'Client' || scope === undefined ? payload : { scope, ...payload };
        store.set(`${model}:${id}`, kept, ttl);
      },
      consume: async (id: string) => {
        const payload = await find(id);
        if (payload !== undefined) payload.consumed = Math.floor(Date.now() / 1000);
      },
      destroy: async (id: string) => {
        store.delete(`${model}:${id}`);
      },
      revokeByGrantId: async (grantId: string) => {
        for (const [key, payload] of [...store.entries()]) if (payload.grantId === grantId) store.delete(key);
      },
    };
  };
}
