// Request headers for the upstream: those of the client that are on the list of the route, then the verified identity.
import { isIP } from 'node:net';
import type { Caller } from '../authn/caller/principal.ts';
import type { Config, RouteConfig, UpstreamConfig } from '../config/schema/config.ts';
import {
  addConnectionOptions,
  commonSpellings,
  configuredHeaders,
  foldHeaderName,
  isNeverForwarded,
  neverForwarded,
  presetHeadersOf,
  withoutConnectionOptions,
} from './header-names.ts';
import { compileIdentityHeaders } from './identity/identity-headers.ts';

/** The facts that request headers are made of. */
export interface RequestHeadersInput {
  /** As Node read them: name, value, name, value. */
  readonly rawHeaders: readonly string[];
  /** Undefined on routes with `authenticate: none`. */
  readonly caller: Caller | undefined;
  /** The verified session of an MCP route; undefined where the upstream gets none, whatever the client sent. */
  readonly session: UpstreamSession | undefined;
  /** The Authorization header made for this caller; undefined where the upstream needs none. */
  readonly authorization: string | undefined;
  readonly requestId: string;
  /** The client's address, also behind trusted proxies. */
  readonly clientAddress: string;
  /** `traceparent` and `tracestate` of our own span, names and values in turn; undefined: those of the client go on. */
  readonly trace?: readonly string[] | undefined;
}

/** A verified session. */
export interface UpstreamSession {
  /** The id that the upstream itself gave. */
  readonly upstreamId: string;
  /** The event after which the client resumes a stream of it. */
  readonly lastEventId: string | undefined;
}

/** Gives names and values in turn, without Host and Content-Length, which undici adds. */
export interface ShapeRequestHeaders {
  (input: RequestHeadersInput): string[];
  /** Throws `denied` for a caller whose identity no header can express. */
  readonly checkIdentity: (caller: Caller) => void;
}

/** Names that a kind of route takes over from a client: listed, or of a family that a standard reserves. */
interface AllowedHeaders {
  readonly names: readonly string[];
  readonly family: RegExp;
}

const traceHeaders = ['traceparent', 'tracestate'];
const isTraceHeader = /^trace(?:parent|state)$/i;
const mcpHeaders: AllowedHeaders = {
  names: ['accept', 'content-type', 'user-agent', ...traceHeaders],
  family: /^mcp-(?:param-.+|[a-z0-9-]+)$/,
};
/** Headers of HTTP (RFC 9110, 9111, 9530, 7240, 9218) and of browsers (Fetch, client hints, WebSocket), whose `Sec-` no script can set. */
const httpHeaders: AllowedHeaders = {
  names: [
    ...['accept', 'accept-charset', 'accept-encoding', 'accept-language', 'user-agent', 'origin', 'referer', 'date'],
    ...['content-type', 'content-encoding', 'content-language', 'content-location', 'content-disposition'],
    ...['content-range', 'content-md5', 'digest', 'content-digest', 'repr-digest'],
    ...['want-digest', 'want-content-digest', 'want-repr-digest'],
    ...['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since', 'if-range', 'range'],
    ...['cache-control', 'pragma', 'prefer', 'priority', 'idempotency-key', 'last-event-id'],
    ...['dnt', 'save-data', 'upgrade-insecure-requests', 'device-memory', 'dpr', 'viewport-width', 'width'],
    ...['downlink', 'ect', 'rtt', 'service-worker', 'service-worker-navigation-preload', ...traceHeaders],
  ],
  family: /^sec-(?:ch-[a-z-]+|fetch-[a-z-]+|websocket-[a-z-]+|gpc|purpose)$/,
};
/** On MCP routes: set from a verified session; and compressed responses cannot be filtered. */
const mcpNeverForwarded = ['mcp-session-id', 'last-event-id', 'accept-encoding'];

/** Names whose result is computed at load besides the allowed ones, so that ordinary requests match no pattern. */
const commonHeaders = [
  ...[...neverForwarded, ...httpHeaders.names, ...mcpNeverForwarded, 'MCP-Session-Id'],
  ...['mcp-method', 'mcp-name', 'mcp-protocol-version', 'MCP-Protocol-Version'],
  ...['sec-ch-ua', 'sec-ch-ua-mobile', 'sec-ch-ua-platform', 'sec-fetch-dest', 'sec-fetch-mode', 'sec-fetch-site'],
];

/**
 * Compiles the request headers of one route: strips, then sets. Throws an Error when `forwardHeaders` names a header that is always dropped.
 */
export function compileRequestHeaders(
  config: Config,
  upstream: UpstreamConfig,
  route: Pick<RouteConfig, 'mcp' | 'forwardHeaders'>,
): ShapeRequestHeaders {
  const { mcp } = route;
  const isForwarded = compileFilter(configuredHeaders(config), route);
  const isForwardedTraced = (name: string) => !isTraceHeader.test(name) && isForwarded(name);
  const identity = compileIdentityHeaders(upstream.identity.headers);
  const origin = new URL(config.server.publicUrl);
  const fixed = ['x-forwarded-proto', origin.protocol.slice(0, -1), 'x-forwarded-host', origin.host];
  if (upstream.authorization !== undefined) fixed.push('authorization', upstream.authorization);
  if (mcp !== undefined) fixed.push('accept-encoding', 'identity');

  const shape = (input: RequestHeadersInput): string[] => {
    const headers = strip(input.rawHeaders, input.trace === undefined ? isForwarded : isForwardedTraced);
    if (input.trace !== undefined) headers.push(...input.trace);
    // A client on a unix socket has no address.
    if (isIP(input.clientAddress) !== 0) headers.push('x-forwarded-for', input.clientAddress);
    headers.push(...fixed);
    identity(headers, input.caller, input.requestId);
    if (input.authorization !== undefined) headers.push('authorization', input.authorization);
    if (mcp !== undefined && input.session !== undefined) addSession(headers, input.session);
    return headers;
  };
  return Object.assign(shape, { checkIdentity: identity.check });
}

function addSession(headers: string[], { upstreamId, lastEventId }: UpstreamSession): void {
  headers.push('mcp-session-id', upstreamId);
  if (lastEventId !== undefined) headers.push('last-event-id', lastEventId);
}

function strip(rawHeaders: readonly string[], isForwarded: (name: string) => boolean): string[] {
  let listed: readonly string[] = [];
  const kept: string[] = [];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!;
    if (isForwarded(name)) kept.push(name, rawHeaders[index + 1]!);
    else if (name.length === 10 && name.toLowerCase() === 'connection') {
      listed = addConnectionOptions(rawHeaders[index + 1]!, listed);
    }
  }
  // Before the gateway's headers are set: Connection takes away the client's own only.
  return withoutConnectionOptions(kept, listed);
}

/**
 * Allowed names are matched unfolded: `mcp_session_id` is not Mcp-Session-Id. Usual ones are looked up in a table made at load. Others are matched each
 * time, so hostile names fill no cache.
 */
function compileFilter(
  configured: readonly string[],
  { mcp, forwardHeaders }: Pick<RouteConfig, 'mcp' | 'forwardHeaders'>,
): (name: string) => boolean {
  const { names, family } = mcp === undefined ? httpHeaders : mcpHeaders;
  const named = mcp?.forwardHeaders ?? forwardHeaders;
  const onMcp = mcp === undefined ? [] : mcpNeverForwarded;
  const dropped = new Set([...onMcp, ...presetHeadersOf(mcp), ...configured.map(foldHeaderName)]);
  const isDropped = (name: string): boolean => {
    const folded = foldHeaderName(name);
    return dropped.has(folded) || isNeverForwarded(folded);
  };
  for (const name of named) if (isDropped(name)) throw new Error(`forwardHeaders: "${name}" is never forwarded`);
  const allowed = new Set([...names, ...named]);
  const isAllowed = (name: string): boolean => {
    const lower = name.toLowerCase();
    return (allowed.has(lower) || family.test(lower)) && !isDropped(lower);
  };
  const known = new Map<string, boolean>();
  for (const name of [...commonHeaders, ...configured, ...allowed]) {
    for (const spelling of commonSpellings(name)) known.set(spelling, isAllowed(spelling));
  }
  return (name) => known.get(name) ?? isAllowed(name);
}
