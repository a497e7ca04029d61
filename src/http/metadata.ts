// Protected resource metadata (RFC 9728): from the configuration only, never from Host.

const wellKnown = '/.well-known/oauth-protected-resource';

/** RFC 9728 §3: the well-known part stands between host and path of the resource identifier. */
export function metadataUrlOf(resource: string): URL {
  const url = new URL(resource);
  url.pathname = wellKnown + (url.pathname === '/' ? '' : url.pathname.replace(/\/$/, ''));
  return url;
}

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
