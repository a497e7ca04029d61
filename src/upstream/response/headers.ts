// Response headers for the client: the upstream's, without those of the hop, of the gateway's origin or of its credential.
import {
  addConnectionOptions,
  commonSpellings,
  foldHeaderName,
  hopByHopHeaders,
  withoutConnectionOptions,
} from '../header-names.ts';

/** The head for the client. */
export interface ResponseHead {
  /** Names and values in turn, ready for `writeHead`. */
  readonly headers: string[];
  /** The announced length of the body, if any. */
  readonly contentLength: number | undefined;
  /** As the upstream wrote it; several, which no reader understands alike, are joined by commas. */
  readonly contentType: string | undefined;
  /** Anything but `identity` hides the body from a filter. */
  readonly contentEncoding: string | undefined;
  /** The answer is an event stream (`text/event-stream`). */
  readonly eventStream: boolean;
}

/** The two names of what a request asks for. */
export interface Targets {
  /** For the upstream: path below its base path, and query exactly as judged; begins with `/`. */
  readonly path: string;
  /** For the client. */
  readonly publicTarget: string;
}

/** Functions by lower-case header name: give the client's value for the upstream's, and may throw for an invalid one. */
export type RewriteHeaders = Readonly<Record<string, (value: string, targets: Targets) => string>>;

/**
 * Headers that are never relayed. The gateway forwards no cookies, so one could only reach other upstreams on this origin. Challenges, CORS,
 * transport policy, site data, service workers, reports and whatever else a browser keeps concern the gateway's origin; tags and groups the caches in
 * front of it (RFC 9875); product names are not disclosed.
 */
const dropped: ReadonlySet<string> = new Set([
  ...hopByHopHeaders,
  'www-authenticate',
  'dpop-nonce',
  'proxy-authenticate',
  'proxy-authentication-info',
  'authentication-info',
  'set-cookie',
  'set-cookie2',
  'clear-site-data',
  'server',
  'x-powered-by',
  'alt-svc',
  'strict-transport-security',
  'client-cert',
  'client-cert-chain',
  'x-fallthru',
  'service-worker-allowed',
  'nel',
  'report-to',
  'reporting-endpoints',
  'origin-agent-cluster',
  'origin-isolation',
  'accept-ch',
  'accept-ch-lifetime',
  'critical-ch',
  'set-login',
  'use-as-dictionary',
  'x-permitted-cross-domain-policies',
  'cache-groups',
  'cache-group-invalidation',
  'netlify-vary',
  'xkey',
  'x-key',
  'x-magento-tags',
]);
/**
 * CORS, what a browser keeps for the origin, and instructions to a proxy or cache in front of the gateway: to send a file or another URL in place of
 * the answer, to avoid this host, or to keep the answer.
 */
const droppedPrefixes = [
  'access-control-',
  'x-accel-',
  'x-sendfile',
  'x-send-file',
  'x-lighttpd-',
  'x-litespeed-',
  'x-reproxy-',
  'x-envoy-',
  'public-key-pins',
  'expect-ct',
  'expect-staple',
  'attribution-reporting-',
  'sec-session-',
  'secure-session-',
  'surrogate-',
  'edge-',
  'fastly-',
];
/** Targeted cache control (RFC 9213), and tags by which caches are purged. */
const droppedSuffixes = ['-cache-control', 'cache-tag', 'cache-tags'];
/** MCP 2026-07-28, Streamable HTTP: event streams have it. */
const buffering = 'x-accel-buffering';

const commonHeaders = [
  ...dropped,
  'cache-control',
  'content-encoding',
  'content-length',
  'content-type',
  'date',
  'etag',
  'expires',
  'last-modified',
  'location',
  'mcp-protocol-version',
  'mcp-session-id',
  'retry-after',
  'vary',
  buffering,
  'x-request-id',
];
/** By spelling: the lower-case name of a relayed header, or false. */
const known = new Map<string, string | false>(
  commonHeaders.flatMap((name) => commonSpellings(name).map((spelling) => [spelling, relayedName(spelling)] as const)),
);

/**
 * Filters the upstream's raw head. `extraHeaders` (lower-case names) are the gateway's and replace the upstream's own of that name; `vary` is added to.
 * This throws for a header of `rewriteHeaders` other than Link that comes twice, and as `refuseContent`. All other values pass as the bytes they were; a character
 * that no header may hold makes `writeHead` throw. Both are a bad upstream.
 */
export function relayResponseHeaders(
  rawHeaders: readonly Buffer[],
  status: number,
  extraHeaders: Readonly<Record<string, string>> | undefined,
  targets: Targets,
  rewriteHeaders?: RewriteHeaders,
): ResponseHead {
  const hasNoLength = status < 200 || status === 204;
  if (hasNoLength || status === 205) refuseContent(status, rawHeaders);
  const headers: string[] = [];
  const rewritten: string[] = [];
  let contentLength: number | undefined;
  let contentType: string | undefined;
  let contentEncoding: string | undefined;
  let saysBuffering = false;
  let listed: readonly string[] = [];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const spelling = rawHeaders[index]!.toString('latin1');
    const name = known.get(spelling) ?? relayedName(spelling);
    if (name === false) {
      if (spelling.length === 10 && spelling.toLowerCase() === 'connection')
        listed = addConnectionOptions(rawHeaders[index + 1]!.toString('latin1'), listed);
      continue;
    }
    let value = rawHeaders[index + 1]!.toString('latin1');
    if (extraHeaders !== undefined && name !== 'vary' && Object.hasOwn(extraHeaders, name)) continue;
    if (name === 'content-length') {
      if (hasNoLength) continue;
      contentLength = Number(value);
    } else if (name === 'content-type') contentType = contentType === undefined ? value : `${contentType},${value}`;
    else if (name === 'content-encoding')
      contentEncoding = contentEncoding === undefined ? value : `${contentEncoding},${value}`;
    else if (name === buffering) saysBuffering = true;
    if (rewriteHeaders !== undefined && Object.hasOwn(rewriteHeaders, name)) {
      if (rewritten.includes(name) && name !== 'link') throw new Error(`the upstream sent ${name} twice`);
      rewritten.push(name);
      value = rewriteHeaders[name]!(value, targets);
    }
    headers.push(spelling, value);
  }
  const left = withoutConnectionOptions(headers, listed);
  for (const name in extraHeaders) left.push(name, extraHeaders[name]!);
  const eventStream = contentType !== undefined && isEventStream(contentType);
  // Proxies on the way to the client must not gather events.
  if (eventStream && !saysBuffering) left.push(buffering, 'no');
  return { headers: left, contentLength, contentType, contentEncoding, eventStream };
}

/**
 * Throws where an answer announces content that its status cannot have: a length other than 0 in a 1xx, 204 or 205 (RFC 9110 §8.6, §15.3.6), or
 * chunks in a 1xx or 204 (RFC 9112 §6.1).
 */
export function refuseContent(status: number, rawHeaders: readonly Buffer[]): void {
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!.toString('latin1').toLowerCase();
    const hasLength = name === 'content-length' && rawHeaders[index + 1]!.toString('latin1') !== '0';
    if (hasLength || (name === 'transfer-encoding' && status !== 205)) {
      throw new Error(`the upstream sent a ${status} with ${name}`);
    }
  }
}

function relayedName(spelling: string): string | false {
  const name = spelling.toLowerCase();
  if (name === buffering) return name;
  const folded = foldHeaderName(name);
  const isDropped =
    dropped.has(folded) ||
    droppedPrefixes.some((prefix) => folded.startsWith(prefix)) ||
    droppedSuffixes.some((suffix) => folded.endsWith(suffix));
  return !isDropped && name;
}

function isEventStream(contentType: string): boolean {
  return contentType.length >= 17 && contentType.slice(0, 17).toLowerCase() === 'text/event-stream';
}
