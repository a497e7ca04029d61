// Listen addresses: `host:port`, or `unix:` and the path of a socket.
import { isLoopbackAddress } from '../host.ts';

/** A parsed listen address. */
export type ListenAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** `unix:8443` is a host of that name. */
const unixPrefix = 'unix:/';
const wildcards = new Set(['0.0.0.0', '::', '::0', '*']);

/** Reads an address whose form was checked with the configuration; the host is without the brackets of IPv6. */
export function parseListenAddress(text: string): ListenAddress {
  if (text.startsWith(unixPrefix)) return { kind: 'unix', path: text.slice(unixPrefix.length - 1) };
  const colon = text.lastIndexOf(':');
  return { kind: 'tcp', host: text.slice(0, colon).replace(/^\[(.*)\]$/, '$1'), port: Number(text.slice(colon + 1)) };
}

/** True for addresses that only this machine can reach. */
export function isLocal(address: ListenAddress): boolean {
  return address.kind === 'unix' || isLoopbackAddress(address.host);
}

/** True for an address that stands for all interfaces. */
export function isWildcard(address: ListenAddress): boolean {
  return address.kind === 'tcp' && wildcards.has(address.host);
}

/** True when two listeners cannot have both. Port 0 is a free port, never the same twice. */
export function sharesAddress(one: ListenAddress, other: ListenAddress): boolean {
  if (one.kind === 'unix' || other.kind === 'unix') {
    return one.kind === 'unix' && other.kind === 'unix' && one.path === other.path;
  }
  if (one.port !== other.port || one.port === 0) return false;
  return one.host === other.host || isWildcard(one) || isWildcard(other);
}
