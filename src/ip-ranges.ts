// IP address ranges in CIDR notation (RFC 4632), for proxies, keys and rules.
import { BlockList, isIP } from 'node:net';

/** A test of one address against the ranges. IPv4-mapped IPv6 addresses count as IPv4. */
export type NetworkMatcher = (address: string) => boolean;

/** Compiles addresses and CIDR ranges. Throws an Error that names the first malformed one. */
export function compileNetworks(ranges: readonly string[]): NetworkMatcher {
  const list = new BlockList();
  for (const range of ranges) addRange(list, range);
  return (address) => {
    const plain = plainAddress(address);
    const family = isIP(plain);
    return family !== 0 && list.check(plain, family === 6 ? 'ipv6' : 'ipv4');
  };
}

/** In the place of an address: the other end of a unix socket, which has none. No range holds it. */
export const unixPeer = 'unix:';

/** Compiles addresses and ranges of peers, and `unix:`. Throws an Error that names the first malformed one. */
export function compilePeers(peers: readonly string[]): NetworkMatcher {
  const onSocket = peers.includes(unixPeer);
  const inNetworks = compileNetworks(peers.filter((peer) => peer !== unixPeer));
  return (address) => (address === unixPeer ? onSocket : inNetworks(address));
}

/** The IPv4 address inside an IPv4-mapped IPv6 address, which dual-stack sockets report; any other address unchanged. */
export function plainAddress(address: string): string {
  if (!address.startsWith('::ffff:')) return address;
  const tail = address.slice('::ffff:'.length);
  return isIP(tail) === 4 ? tail : address;
}

/** The network that one caller has to itself: an IPv4 address, or the /64 of an IPv6 address (RFC 6177). Anything else is itself. */
export function callerNetwork(address: string): string {
  if (isIP(address) !== 6) return address;
  const [head = '', tail] = address.replace(/%.*$/, '').split('::');
  const leading = head === '' ? [] : head.split(':');
  const trailing = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array(Math.max(0, 8 - leading.length - trailing.length)).fill('0');
  const prefix = [...leading, ...zeros, ...trailing]
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16));
  return `${prefix.join(':')}::/64`;
}

function addRange(list: BlockList, range: string): void {
  const [address = '', bits, ...rest] = range.split('/');
  const family = isIP(address);
  const width = bits === undefined ? (family === 6 ? 128 : 32) : Number(bits);
  const wellFormed = family !== 0 && rest.length === 0 && (bits === undefined || /^\d{1,3}$/.test(bits));
  if (!wellFormed || width > (family === 6 ? 128 : 32)) {
    throw new Error(`"${range}" is not an address or a range such as 10.0.0.0/8`);
  }
  list.addSubnet(address, width, family === 6 ? 'ipv6' : 'ipv4');
}
