// Client address: the peer's, or behind trusted proxies the rightmost forwarded address outside them (RFC 7239).
import { isIP } from 'node:net';
import { compilePeers, plainAddress, unixPeer } from '../ip-ranges.ts';

/** Compiles `server.trustedProxies`. The returned function never trusts a header from any other peer. */
export function compileClientAddress(
  trustedProxies: readonly string[],
): (peer: string, headers: ForwardingHeaders) => string {
  if (trustedProxies.length === 0) return plainAddress;
  const trusted = compilePeers(trustedProxies);
  return (peer, headers) => {
    const address = plainAddress(peer);
    if (!trusted(address)) return address;
    const forwarded = forwardedAddresses(headers);
    for (let index = forwarded.length - 1; index >= 0; index--) {
      const candidate = forwarded[index]!;
      // An unreadable entry ends the chain: the last verified address counts.
      if (candidate !== unixPeer && isIP(candidate) === 0) return forwarded[index + 1] ?? address;
      if (!trusted(candidate)) return candidate;
    }
    return forwarded[0] ?? address;
  };
}

/** The headers that name the client's address. */
export interface ForwardingHeaders {
  readonly 'x-forwarded-for'?: string | string[] | undefined;
  readonly forwarded?: string | undefined;
}

/** Addresses in the order they were added; `Forwarded` (RFC 7239) only where there is no `X-Forwarded-For`. */
function forwardedAddresses(headers: ForwardingHeaders): string[] {
  const list = headers['x-forwarded-for'];
  if (list !== undefined)
    return String(list)
      .split(',')
      .map((part) => withoutPort(part.trim()));
  if (headers.forwarded === undefined) return [];
  return headers.forwarded.split(',').map((element) => {
    const match = /(?:^|;)\s*for=(?:"([^"]*)"|([^;,\s]*))/i.exec(element);
    return withoutPort(match?.[1] ?? match?.[2] ?? '');
  });
}

function withoutPort(value: string): string {
  const bracketed = /^\[([^\]]+)\](?::\d+)?$/.exec(value);
  if (bracketed) return plainAddress(bracketed[1]!);
  const v4 = /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(value);
  return plainAddress(v4 ? v4[1]! : value);
}
