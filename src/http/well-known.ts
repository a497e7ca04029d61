// Well-known documents of the gateway (RFC 9728, RFC 8414, RFC 7517), made from the configuration and never from Host.

const resourceMetadata = '/.well-known/oauth-protected-resource';
/** Authorization server metadata (RFC 8414), which clients of MCP 2025-03-26 ask the resource's host for. */
export const serverMetadataPath = '/.well-known/oauth-authorization-server';
/** Root form of the metadata, for clients that do not use the path form. */
export const rootMetadataPath = resourceMetadata;
/** Key set of the assertions (RFC 7517), on both listeners. */
export const keySetPath = '/.well-known/jwks.json';

/** Headers of public documents, which pages of every origin may read. */
export const publicDocumentHeaders: Readonly<Record<string, string>> = {
  'content-type': 'application/json',
  'access-control-allow-origin': '*',
  'cache-control': 'public, max-age=300',
};

/** Metadata URL of a resource: the well-known part stands between host and path of the identifier (RFC 9728 §3.1). */
export function metadataUrlOf(resource: string): URL {
  const url = new URL(resource);
  url.pathname = resourceMetadata + (url.pathname === '/' ? '' : url.pathname);
  return url;
}

/** Path of the metadata of a resource in both its forms. */
export function metadataPathOf(resource: string): string {
  return metadataUrlOf(resource).pathname.replace(/\/$/, '');
}

/**
 * The other form of a resource identifier: with a trailing slash, or without. Both are the same route, and a client takes metadata and tokens only for
 * the form that it was given (RFC 9728 §3.3).
 */
export function otherFormOf(resource: string): string {
  return resource.endsWith('/') ? resource.slice(0, -1) : `${resource}/`;
}

/** A scope that no client is told to request: refresh tokens concern only the client and its authorization server. */
export const offlineAccessScope = 'offline_access';

/** Protected resource metadata (RFC 9728 §2); parameters without values are left out (§3.2). */
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
