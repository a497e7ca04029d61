// Client address: the peer's, or behind trusted proxies the rightmost forwarded address outside them (RFC 7239).
import { isIP } from 'node:net';
import { compilePeers, plainAddress, unixPeer } from '../ip-ranges.ts';

/** In the place of an address that a trusted proxy did not give, or that cannot be read (RFC 7239 §6.2). No range holds it. */
const unknownAddress = 'unknown';

/**
 * Compiles `server.trustedProxies`. The returned function never trusts a header from any other peer, and yields the address of a trusted proxy
 * only where it forwards for nobody.
 */
export function compileClientAddress(
  trustedProxies: readonly string[],
): (peer: string, headers: ForwardingHeaders) => string {
  if (trustedProxies.length === 0) return plainAddress;
  const trusted = compilePeers(trustedProxies);
  return (peer, headers) => {
    const address = plainAddress(peer);
    if (!trusted(address)) return address;
    const forwarded = forwardedAddresses(headers);
    return forwarded.findLast((candidate) => !trusted(candidate)) ?? forwarded[0] ?? address;
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
  if (list !== undefined) return String(list).split(',').map(readAddress);
  return headers.forwarded?.split(',').map((element) => readAddress(nodeOf(element))) ?? [];
}

/** One parameter of an element, and the delimiter behind it. Values in quotes have no escapes, which no address needs. */
const parameter = /\s*([!#$%&'*+.^`|~\w-]+)=(?:"([^"\\]*)"|([^\s",;]*))\s*(?:;|$)/gy;

/** The value of the one `for` of an element; empty where there is none, or the element cannot be read as a whole. */
function nodeOf(element: string): string {
  const parameters = [...element.matchAll(parameter)];
  const length = parameters.reduce((sum, [whole]) => sum + whole.length, 0);
  const nodes = parameters.filter(([, name]) => name!.toLowerCase() === 'for');
  return length === element.length && nodes.length === 1 ? (nodes[0]![2] ?? nodes[0]![3]!) : '';
}

/** A node with a port, which may be obfuscated (RFC 7239 §6). */
const withPort = /^(?:\[([^\]]+)\]|(\d+\.\d+\.\d+\.\d+))(?::(?:\d{1,5}|_[\w.-]+))?$/;

function readAddress(text: string): string {
  const node = text.trim();
  if (node === unixPeer) return node;
  const [, v6, v4] = withPort.exec(node) ?? [];
  const address = v6 ?? v4 ?? node;
  const isReadable = v6 === undefined ? isIP(address) !== 0 : isIP(address) === 6;
  // The zone of an address means nothing to another machine.
  return isReadable && !address.includes('%') ? plainAddress(address) : unknownAddress;
}
