// Request headers for the upstream: the client's, without any that could pass for the gateway's, then the verified identity.
import { isIP } from 'node:net';
import type { Caller } from '../authn/principal.ts';
import type { Config, McpConfig, UpstreamConfig } from '../config/schema/config.ts';
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
}

/** A verified session. */
export interface UpstreamSession {
  /** The id that the upstream itself gave. */
  readonly upstreamId: string;
  /** The event after which the client resumes a stream of it. */
  readonly lastEventId: string | undefined;
}

/** Gives names and values in turn, without Host and Content-Length, which undici adds. Throws `denied` for an identity that no header can express. */
export type ShapeRequestHeaders = (input: RequestHeadersInput) => string[];

/** Headers of MCP. The `mcp-` family is recognized by its prefix. */
const mcpHeaders = ['accept', 'content-type', 'traceparent', 'tracestate', 'user-agent'];
/** Set from a verified session, never taken over. */
const sessionHeaders = ['mcp-session-id', 'last-event-id'];
/** Compressed responses cannot be filtered, so no MCP route asks for them. */
const mcpNeverForwarded = ['accept-encoding', ...sessionHeaders];
const mcpFamily = /^mcp-(?:param-.+|[a-z0-9-]+)$/;

/** Names whose result is computed at load, so that ordinary requests fold no name. */
const commonHeaders = [
  ...mcpHeaders,
  ...sessionHeaders,
  ...neverForwarded,
  'accept-encoding',
  'accept-language',
  'cache-control',
  'content-encoding',
  'if-none-match',
  'mcp-method',
  'mcp-name',
  'mcp-protocol-version',
  'origin',
  'pragma',
  'priority',
  'referer',
  'sec-fetch-dest',
  'sec-fetch-mode',
  'sec-fetch-site',
  'x-api-key',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
];

/**
 * Compiles the request headers of one route: strips, then sets. `mcp` is the route's section, undefined on path routes.
 * Throws an Error when `forwardHeaders` names a header that is always dropped.
 */
export function compileRequestHeaders(
  config: Config,
  upstream: UpstreamConfig,
  mcp: McpConfig | undefined,
): ShapeRequestHeaders {
  const isForwarded = compileFilter(configuredHeaders(config), mcp);
  const identity = compileIdentityHeaders(upstream.identity.headers);
  const origin = new URL(config.server.publicUrl);
  const fixed = ['x-forwarded-proto', origin.protocol.slice(0, -1), 'x-forwarded-host', origin.host];
  if (upstream.authorization !== undefined) fixed.push('authorization', upstream.authorization);
  if (mcp !== undefined) fixed.push('accept-encoding', 'identity');

  return (input) => {
    const headers = strip(input.rawHeaders, isForwarded);
    // A client on a unix socket has no address.
    if (isIP(input.clientAddress) !== 0) headers.push('x-forwarded-for', input.clientAddress);
    headers.push(...fixed);
    identity(headers, input.caller, input.requestId);
    if (input.authorization !== undefined) headers.push('authorization', input.authorization);
    if (mcp !== undefined && input.session !== undefined) addSession(headers, input.session);
    return headers;
  };
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

/** Usual names are looked up in a table made at load. Others are folded each time, so hostile names fill no cache. */
function compileFilter(configured: readonly string[], mcp: McpConfig | undefined): (name: string) => boolean {
  const onMcp = mcp === undefined ? [] : mcpNeverForwarded;
  const dropped = new Set([...onMcp, ...presetHeadersOf(mcp), ...configured.map(foldHeaderName)]);
  const isAllowed = mcp === undefined ? (name: string) => !isDropped(name, dropped) : compileAllowList(mcp, dropped);
  const known = new Map<string, boolean>();
  for (const name of [...commonHeaders, ...configured, ...(mcp?.forwardHeaders ?? [])]) {
    for (const spelling of commonSpellings(name)) known.set(spelling, isAllowed(spelling));
  }
  return (name) => known.get(name) ?? isAllowed(name);
}

function isDropped(name: string, dropped: ReadonlySet<string>): boolean {
  const folded = foldHeaderName(name);
  return dropped.has(folded) || isNeverForwarded(folded);
}

/** Allowed names are matched unfolded: `mcp_session_id` is not Mcp-Session-Id. */
function compileAllowList(mcp: McpConfig, dropped: ReadonlySet<string>): (name: string) => boolean {
  for (const name of mcp.forwardHeaders) {
    if (isDropped(name, dropped)) throw new Error(`forwardHeaders: "${name}" is never forwarded`);
  }
  const allowed = new Set([...mcpHeaders, ...mcp.forwardHeaders]);
  return (name) => {
    const lower = name.toLowerCase();
    return (allowed.has(lower) || mcpFamily.test(lower)) && !isDropped(name, dropped);
  };
}
