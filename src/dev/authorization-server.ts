// The development authorization server: oidc-provider on loopback, everything in memory, access tokens as RFC 9068 JWTs.
import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { LRUCache } from 'lru-cache';
import type { AdapterPayload, Client, Provider } from 'oidc-provider';
import { answerInteraction } from './consent-page.ts';
import { listenOnLoopback } from './loopback.ts';
import { loadOptionalPackage } from './optional-package.ts';

export interface AuthorizationServerOptions {
  /** 0, the default, takes a free one. */
  readonly port?: number;
  /** Resource indicators (RFC 8707) that tokens are issued for; the first is the default. */
  readonly resources: readonly [string, ...string[]];
  readonly scopes: readonly string[];
  /** Confidential clients of the client credentials grant. Others register themselves (RFC 7591). */
  readonly clients: readonly ConfidentialClient[];
  /** Default 3600. A function is asked for each token. */
  readonly accessTokenLifetimeSeconds?: number | (() => number);
  /**
   * Who gets refresh tokens: clients that ask for `offline_access` (the default), or all that registered the grant. Clients of the first SDK generation
   * never ask, and one that has a refresh token uses it where it should step up.
   */
  readonly refreshTokens?: 'offline_access' | 'registered';
  /** The one person who logs in, by pressing a button; becomes `sub`. Default `analyst`. */
  readonly person?: string;
}

export interface ConfidentialClient {
  readonly clientId: string;
  readonly clientSecret: string;
  readonly scopes: readonly string[];
  /** Default: the server's. */
  readonly accessTokenLifetimeSeconds?: number;
}

export interface AuthorizationServer {
  readonly issuer: string;
  readonly tokenEndpoint: string;
  close(): Promise<void>;
}

const monthSeconds = 30 * 86_400;

/** Starts it on 127.0.0.1. Rejects when oidc-provider is not installed or the port is taken (EADDRINUSE). */
export async function startAuthorizationServer(options: AuthorizationServerOptions): Promise<AuthorizationServer> {
  const library = await loadOptionalPackage('oidc-provider', () => import('oidc-provider'));
  // The issuer names the port, and the port is known only once it is bound: requests before that wait for the handler.
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

/** RFC 6749 §3.3: whoever asks for no scope is offered all. Clients of MCP 2025-03-26 know of none, and cannot step up either. */
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
    // `native` allows what MCP clients register: loopback redirects on any port, private schemes and https.
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

/** RFC 8707: one audience a token, and RFC 9068 tokens for it. */
function resourceIndicators(
  options: AuthorizationServerOptions,
  InvalidTarget: new (description?: string) => Error,
  lifetimeSeconds: () => number,
) {
  const lifetimes = new Map(options.clients.map((client) => [client.clientId, client.accessTokenLifetimeSeconds]));
  return {
    enabled: true,
    defaultResource: () => options.resources[0],
    useGrantedResource: () => true,
    getResourceServerInfo: (_context: unknown, resource: string, client: Client) => {
      if (!options.resources.includes(resource)) throw new InvalidTarget();
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

function signingKey(): object {
  const { privateKey }: { privateKey: KeyObject } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomBytes(8).toString('hex'), alg: 'ES256', use: 'sig' };
}

/** One bounded store for all models of oidc-provider; what it forgets is simply asked for again. */
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
        // MCP clients register with the scope of their first challenge, which must not bar them from stepping up later.
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
