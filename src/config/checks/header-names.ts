// Header names that configuration may not give a second meaning to.
import { foldHeaderName, hopByHopHeaders, presetHeaders } from '../../upstream/header-names.ts';
import type { McpConfig } from '../schema/config.ts';

const protocolHeaders = new Set(
  [
    ...hopByHopHeaders,
    'host',
    'content-length',
    'content-type',
    'content-encoding',
    'accept',
    'accept-encoding',
    'expect',
    'origin',
    'date',
    'authorization',
    'proxy-authorization',
    'proxy-authenticate',
    'cookie',
    'set-cookie',
    'dpop',
    'last-event-id',
    'traceparent',
    'tracestate',
    'user-agent',
    'forwarded',
    'x-forwarded-for',
    'x-forwarded-proto',
    'x-forwarded-host',
  ].map(foldHeaderName),
);

/** True for the headers of HTTP, MCP and the gateway itself, in every spelling that an upstream could take for them. */
export function isProtocolHeader(name: string): boolean {
  const folded = foldHeaderName(name);
  return protocolHeaders.has(folded) || folded.startsWith('mcp-') || folded.startsWith('client-cert');
}

/** True for names that clients could use to pass for the gateway: they are dropped, so nothing else may come in them. */
export function isIdentityHeader(name: string): boolean {
  const folded = foldHeaderName(name);
  return (
    ['x-forwarded-', 'x-auth-', 'x-original-', 'x-rewrite-'].some((prefix) => folded.startsWith(prefix)) ||
    folded.endsWith('remote-user') ||
    [
      'x-real-ip',
      'x-request-id',
      'x-forwarded',
      'x-http-method',
      'x-http-method-override',
      'x-method-override',
    ].includes(folded)
  );
}

/** True for headers that the server of the route's preset believes. */
export function isPresetHeader({ preset }: McpConfig, name: string): boolean {
  return preset !== undefined && presetHeaders[preset.name].includes(foldHeaderName(name));
}

export { foldHeaderName };
