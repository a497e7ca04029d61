// Well-known documents of the gateway (RFC 9728, RFC 8414, RFC 7517), made from the configuration and never from Host.

const resourceMetadata = '/.well-known/oauth-protected-resource';
/** Where clients of MCP 2025-03-26 look for the authorization server of a host. */
export const serverMetadataPath = '/.well-known/oauth-authorization-server';
/** The resource identifier's own document where there is only one, for clients that look nowhere else. */
export const rootMetadataPath = resourceMetadata;
/** Where the keys of assertions are, on both listeners. */
export const keySetPath = '/.well-known/jwks.json';

/** Anybody may read them, pages of other origins too. */
export const publicDocumentHeaders: Readonly<Record<string, string>> = {
  'content-type': 'application/json',
  'access-control-allow-origin': '*',
  'cache-control': 'public, max-age=300',
};

/** RFC 9728 §3: the well-known part stands between host and path of the resource identifier. */
export function metadataUrlOf(resource: string): URL {
  const url = new URL(resource);
  url.pathname = resourceMetadata + (url.pathname === '/' ? '' : url.pathname.replace(/\/$/, ''));
  return url;
}

/** A scope that no client is told to request: refresh tokens concern only the client and its authorization server. */
export const neverAskedFor = 'offline_access';

/** RFC 9728 §2; parameters without values are left out (§3.2). */
export function protectedResourceMetadata(options: {
  resource: string;
  authorizationServers: readonly string[];
  scopes: readonly string[];
}): Record<string, unknown> {
  return {
    resource: options.resource,
    authorization_servers: options.authorizationServers,
    ...(options.scopes.length > 0 && { scopes_supported: options.scopes }),
    bearer_methods_supported: ['header'],
  };
}
