// Header names as the strictest reader sees them: those of HTTP, MCP and the gateway, and those that never cross it.
import type { Config, McpConfig, PresetName } from '../config/schema/config.ts';
import { identityHeaderNames } from './identity/facts.ts';

/**
 * The one form of all spellings that some upstream would take for the same header: lower case, and every character that is no letter or
 * digit as `-`. CGI, WSGI, PHP and Rack fold `_`, `.` and `-` together; Apache folds everything else as well.
 */
export function foldHeaderName(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '-');
}

/** RFC 9110 §7.6.1 and RFC 7230: they belong to one connection. */
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
/** Names that clients could use to pass for the gateway, or to have another request carried out than the one that was judged. */
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

/** Of a client's request, folded; prefixes and suffixes apart. */
export const neverForwarded: readonly string[] = [...ofOneHop, ...ofTheGateway];
const neverForwardedNames: ReadonlySet<string> = new Set(neverForwarded);
const identityNames: ReadonlySet<string> = new Set(ofTheGateway);
const protocolNames: ReadonlySet<string> = new Set([...ofOneHop, ...passedOn]);

/** True for folded names that are dropped from every request: nothing else may come in them. */
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

/** True for the folded names of HTTP and MCP, and those that the gateway sets on every request. */
export function isProtocolHeader(folded: string): boolean {
  return protocolNames.has(folded) || folded.startsWith('mcp-') || folded.startsWith(certificatePrefix);
}

const presetHeaders: Readonly<Record<PresetName, readonly string[]>> = {
  superset: ['x-superset-dashboard-scope'],
};

/** Folded names that the server behind an MCP route would take for the gateway's word on what a caller may see. */
export function presetHeadersOf(mcp: Pick<McpConfig, 'preset'> | undefined): readonly string[] {
  return mcp?.preset === undefined ? [] : presetHeaders[mcp.preset.name];
}

/** The headers that API keys and identities come in, anywhere in the configuration: what one upstream trusts, no route of another may carry. */
export function configuredHeaders(config: Pick<Config, 'authenticators' | 'upstreams'>): string[] {
  return [
    ...Object.values(config.authenticators).flatMap((each) => (each.type === 'apiKey' ? [each.header] : [])),
    ...identityHeaders(config),
  ];
}

/** The headers that identities come in, for any upstream. */
export function identityHeaders({ upstreams }: Pick<Config, 'upstreams'>): string[] {
  return Object.values(upstreams).flatMap(({ identity }) =>
    identityHeaderNames(identity.headers).map(([, header]) => header),
  );
}

/** Adds the folded names that a Connection header lists to `listed`; what only steers the connection itself is not among them. */
export function addConnectionOptions(value: string, listed: readonly string[]): readonly string[] {
  if (value === 'keep-alive' || value === 'close') return listed;
  const options = value.split(',').map((option) => foldHeaderName(option.trim()));
  return [...listed, ...options.filter((option) => option !== '')];
}

/** The spellings that nearly all senders use: `x-name` and `X-Name`. */
export function commonSpellings(name: string): readonly string[] {
  return [name, name.replace(/(^|-)[a-z]/g, (start) => start.toUpperCase())];
}
