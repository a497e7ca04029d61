// Cross-origin calls from allowed pages: preflight answers and the headers that let a page read ours.
import type { IncomingHttpHeaders } from 'node:http';

const exposed = 'WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version, Retry-After, X-Request-Id';
const acceptedHeaders =
  'Authorization, Content-Type, Accept, MCP-Protocol-Version, Mcp-Session-Id, Last-Event-ID, Mcp-Method, Mcp-Name';

/** True for a preflight (Fetch standard §4.8): an OPTIONS request that names the method it asks for. */
export function isPreflight(method: string, headers: IncomingHttpHeaders): boolean {
  return method === 'OPTIONS' && headers.origin !== undefined && headers['access-control-request-method'] !== undefined;
}

/** What a page of an origin that `checkOrigin` let pass may read. */
export function corsHeaders(origin: string): Record<string, string> {
  return { 'access-control-allow-origin': origin, 'access-control-expose-headers': exposed, vary: 'Origin' };
}

export function preflightHeaders(
  origin: string,
  methods: readonly string[],
  keyHeaders: Iterable<string>,
): Record<string, string> {
  return {
    'access-control-allow-origin': origin,
    'access-control-allow-methods': methods.join(', '),
    'access-control-allow-headers': [acceptedHeaders, ...keyHeaders].join(', '),
    'access-control-max-age': '600',
    vary: 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers',
  };
}
