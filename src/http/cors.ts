// Cross-origin resource sharing (Fetch standard §3.3): headers of preflight responses and of responses to pages.
import type { IncomingHttpHeaders } from 'node:http';

const exposed =
  'WWW-Authenticate, DPoP-Nonce, Mcp-Session-Id, MCP-Protocol-Version, Retry-After, RateLimit, RateLimit-Policy, X-Request-Id';
const acceptedHeaders =
  'Authorization, Content-Type, Accept, MCP-Protocol-Version, Mcp-Session-Id, Last-Event-ID, Mcp-Method, Mcp-Name, DPoP';

/** True for a preflight (Fetch standard §4.8): an OPTIONS request that names the method it asks for. */
export function isPreflight(method: string, headers: IncomingHttpHeaders): boolean {
  return method === 'OPTIONS' && headers.origin !== undefined && headers['access-control-request-method'] !== undefined;
}

/** Response headers that a page of an accepted origin may read. */
export function corsHeaders(origin: string): Record<string, string> {
  return { 'access-control-allow-origin': origin, 'access-control-expose-headers': exposed, vary: 'Origin' };
}

/** The facts of the answer to a preflight. */
export interface Preflight {
  /** Methods that the page may use. */
  readonly methods: Iterable<string>;
  /** Headers that it may send besides those of HTTP and MCP. */
  readonly headers: Iterable<string>;
  /** The value of Access-Control-Request-Headers. */
  readonly requestedHeaders: string | undefined;
}

/** Headers of the answer to a preflight. */
export function preflightHeaders(origin: string, preflight: Preflight): Record<string, string> {
  const parameters = parameterHeaders(preflight.requestedHeaders);
  return {
    'access-control-allow-origin': origin,
    'access-control-allow-methods': [...preflight.methods].join(', '),
    'access-control-allow-headers': [acceptedHeaders, ...preflight.headers, ...parameters].join(', '),
    'access-control-max-age': '600',
    vary: 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers',
  };
}

/** More than any tool has; keeps the response small. */
const maxParameterHeaders = 64;
const parameterHeader = /^mcp-param-[!#$%&'*+.^_`|~0-9a-z-]{1,128}$/i;

/** `Mcp-Param-*` headers of MCP 2026-07-28. Only the upstream's schemas know their names, so the requested ones are allowed. */
function parameterHeaders(requested: string | undefined): string[] {
  if (requested === undefined) return [];
  const names = requested.split(',').map((name) => name.trim());
  return [...new Set(names.filter((name) => parameterHeader.test(name)))].slice(0, maxParameterHeaders);
}
