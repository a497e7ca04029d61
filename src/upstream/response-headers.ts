// Response headers for the client: the upstream's, without those of the hop, of the gateway's origin or of its credential.
import { addConnectionOptions, commonSpellings, foldHeaderName, hopByHopHeaders } from './header-names.ts';

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

/**
 * For headers by lower-case name: the upstream's value as the client is to see it. A function may throw for what is no valid value.
 */
export type RewriteHeaders = Readonly<Record<string, (value: string) => string>>;

/**
 * Never relayed. Cookies: the gateway forwards none, so one could only burden or confuse other upstreams on this origin.
 * Challenges, CORS, transport policy and site data are the gateway's to state; product names are nobody's business.
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
]);
const droppedPrefix = 'access-control-';

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
  'x-accel-buffering',
  'x-request-id',
];
/** By spelling: the lower-case name of what is relayed, or false for what is not. */
const known = new Map<string, string | false>(
  commonHeaders.flatMap((name) => commonSpellings(name).map((spelling) => [spelling, judge(spelling)] as const)),
);

/**
 * Filters the upstream's raw head. `extraHeaders` (lower-case names) are the gateway's and replace the upstream's own of that name; `vary` is added to.
 * A header of `rewriteHeaders` comes once or this throws. All other values pass as the bytes they were; a character that no header may hold
 * makes `writeHead` throw. Both are a bad upstream.
 */
export function relayResponseHeaders(
  rawHeaders: readonly Buffer[],
  status: number,
  extraHeaders: Readonly<Record<string, string>> | undefined,
  rewriteHeaders?: RewriteHeaders,
): ResponseHead {
  const headers: string[] = [];
  const rewritten: string[] = [];
  let contentLength: number | undefined;
  let contentType: string | undefined;
  let contentEncoding: string | undefined;
  let buffering = false;
  let listed: readonly string[] = [];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const spelling = rawHeaders[index]!.toString('latin1');
    const name = known.get(spelling) ?? judge(spelling);
    if (name === false) {
      if (spelling.length === 10 && spelling.toLowerCase() === 'connection')
        listed = addConnectionOptions(rawHeaders[index + 1]!.toString('latin1'), listed);
      continue;
    }
    let value = rawHeaders[index + 1]!.toString('latin1');
    if (extraHeaders !== undefined && name !== 'vary' && Object.hasOwn(extraHeaders, name)) continue;
    if (name === 'content-length') {
      if (status === 204) continue;
      contentLength = Number(value);
    } else if (name === 'content-type') contentType = contentType === undefined ? value : `${contentType},${value}`;
    else if (name === 'content-encoding') contentEncoding = value;
    else if (name === 'x-accel-buffering') buffering = true;
    if (rewriteHeaders !== undefined && Object.hasOwn(rewriteHeaders, name)) {
      if (rewritten.includes(name)) throw new Error(`the upstream sent ${name} twice`);
      rewritten.push(name);
      value = rewriteHeaders[name]!(value);
    }
    headers.push(spelling, value);
  }
  const left = listed.length === 0 ? headers : withoutListed(headers, listed);
  for (const name in extraHeaders) left.push(name, extraHeaders[name]!);
  const eventStream = contentType !== undefined && isEventStream(contentType);
  // MCP 2026-07-28, Streamable HTTP: proxies on the way to the client must not gather events.
  if (eventStream && !buffering) left.push('x-accel-buffering', 'no');
  return { headers: left, contentLength, contentType, contentEncoding, eventStream };
}

function judge(spelling: string): string | false {
  const name = spelling.toLowerCase();
  return !dropped.has(name) && !name.startsWith(droppedPrefix) && name;
}

/** Content-Length frames the message, so not even Connection takes it away. */
function withoutListed(headers: readonly string[], listed: readonly string[]): string[] {
  const names = new Set(listed);
  names.delete('content-length');
  const left: string[] = [];
  for (let index = 0; index < headers.length; index += 2) {
    if (!names.has(foldHeaderName(headers[index]!))) left.push(headers[index]!, headers[index + 1]!);
  }
  return left;
}

function isEventStream(contentType: string): boolean {
  return contentType.length >= 17 && contentType.slice(0, 17).toLowerCase() === 'text/event-stream';
}
