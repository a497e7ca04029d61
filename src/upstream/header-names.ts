// Header names of HTTP, MCP and the gateway in folded form, and the sets that are never forwarded.
import type { Config, McpConfig, PresetName } from '../config/schema/config.ts';
import { identityHeaderNames } from './identity/facts.ts';

/**
 * Folds a name: lower case, with `-` for every character other than letters and digits. CGI, WSGI, PHP and Rack take `_`, `.` and `-` for one
 * another, Apache every other character too.
 */
export function foldHeaderName(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '-');
}

/** Headers of one connection (RFC 9110 §7.6.1). */
export const hopByHopHeaders: readonly string[] = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
];

/** Headers that frame a request or prove its sender (RFC 9110 §7.6.1). */
const ofOneHop: readonly string[] = [
  ...hopByHopHeaders,
  'host',
  'content-length',
  'expect',
  'authorization',
  'proxy-authorization',
  'proxy-authenticate',
  'cookie',
  'cookie2',
  'dpop',
  'forwarded',
];
const certificatePrefix = 'client-cert';
/** Names by which a client could pass for the gateway, or change the request that was judged. */
const ofTheGateway: readonly string[] = [
  'x-forwarded',
  'x-real-ip',
  'x-request-id',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
];
const prefixesOfTheGateway = ['x-forwarded-', 'x-auth-', 'x-original-', 'x-rewrite-'];
const suffixOfTheGateway = 'remote-user';
const passedOn: readonly string[] = [
  'content-type',
  'content-encoding',
  'accept',
  'accept-encoding',
  'origin',
  'date',
  'set-cookie',
  'last-event-id',
  'traceparent',
  'tracestate',
  'user-agent',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
];

/** Folded names that no request carries to an upstream; besides them there are prefixes and suffixes. */
export const neverForwarded: readonly string[] = [...ofOneHop, ...ofTheGateway];
const neverForwardedNames: ReadonlySet<string> = new Set(neverForwarded);
const identityNames: ReadonlySet<string> = new Set(ofTheGateway);
const protocolNames: ReadonlySet<string> = new Set([...ofOneHop, ...passedOn]);

/** True for folded names that are dropped from every request. */
export function isNeverForwarded(folded: string): boolean {
  return neverForwardedNames.has(folded) || folded.startsWith(certificatePrefix) || isIdentityHeader(folded);
}

/** True for folded names that only the gateway may set. */
function isIdentityHeader(folded: string): boolean {
  return (
    identityNames.has(folded) ||
    folded.endsWith(suffixOfTheGateway) ||
    prefixesOfTheGateway.some((prefix) => folded.startsWith(prefix))
  );
}

/** True for folded names of HTTP and MCP, and of headers that the gateway sets on every request. */
export function isProtocolHeader(folded: string): boolean {
  return protocolNames.has(folded) || folded.startsWith('mcp-') || folded.startsWith(certificatePrefix);
}

const presetHeaders: Readonly<Record<PresetName, readonly string[]>> = {
  superset: ['x-superset-dashboard-scope'],
};

/** Folded names by which the preset's server restricts a caller; only the gateway may set them. */
export function presetHeadersOf(mcp: Pick<McpConfig, 'preset'> | undefined): readonly string[] {
  return mcp?.preset === undefined ? [] : presetHeaders[mcp.preset.name];
}

/** Headers of API keys and identities of the whole configuration: a header that one upstream trusts, no route of another carries. */
export function configuredHeaders(config: Pick<Config, 'authenticators' | 'upstreams'>): string[] {
  return [
    ...Object.values(config.authenticators).flatMap((each) => (each.type === 'apiKey' ? [each.header] : [])),
    ...identityHeaders(config),
  ];
}

/** Identity headers of all upstreams. */
export function identityHeaders({ upstreams }: Pick<Config, 'upstreams'>): string[] {
  return Object.values(upstreams).flatMap(({ identity }) =>
    identityHeaderNames(identity.headers).map(([, header]) => header),
  );
}

/** Adds the folded names of a Connection header's options to `listed`. A sole `keep-alive` or `close` names no header. */
export function addConnectionOptions(value: string, listed: readonly string[]): readonly string[] {
  if (value === 'keep-alive' || value === 'close') return listed;
  const options = value.split(',').map((option) => foldHeaderName(option.trim()));
  return [...listed, ...options.filter((option) => option !== '')];
}

/** The headers without those that Connection lists. Content-Length stays: it frames the message. */
export function withoutConnectionOptions(headers: string[], listed: readonly string[]): string[] {
  if (listed.length === 0) return headers;
  const names = new Set(listed);
  names.delete('content-length');
  const left: string[] = [];
  for (let index = 0; index < headers.length; index += 2) {
    if (!names.has(foldHeaderName(headers[index]!))) left.push(headers[index]!, headers[index + 1]!);
  }
  return left;
}

/** The usual spellings: `x-name` and `X-Name`. */
export function commonSpellings(name: string): readonly string[] {
  return [name, name.replace(/(^|-)[a-z]/g, (start) => start.toUpperCase())];
}
