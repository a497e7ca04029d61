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
  const prefix = groupsOf(address).slice(0, 4);
  return `${prefix.map((group) => group.toString(16)).join(':')}::/64`;
}

/** An address as 128 binary digits, an IPv4 address as its IPv4-mapped one (RFC 4291 §2.5.5.2). Undefined for anything else. */
export function addressBits(address: string): string | undefined {
  const family = isIP(address);
  if (family === 0) return undefined;
  const groups = groupsOf(family === 4 ? `::ffff:${address}` : address);
  return groups.map((group) => group.toString(2).padStart(16, '0')).join('');
}

/** The digits that all addresses of a well-formed range begin with. */
export function rangeBits(range: string): string {
  const [address = '', width] = range.split('/');
  const bits = addressBits(address) ?? '';
  return width === undefined ? bits : bits.slice(0, Number(width) + (isIP(address) === 4 ? 96 : 0));
}

/** The relation of ranges, given by the digits of `rangeBits`, to others: all within them, or none of them touching one. */
export function rangesRelation(
  ranges: readonly string[],
  others: readonly string[] | undefined,
): 'within' | 'apart' | undefined {
  if (others === undefined) return undefined;
  if (ranges.every((range) => others.some((other) => range.startsWith(other)))) return 'within';
  const touches = (range: string): boolean =>
    others.some((other) => range.startsWith(other) || other.startsWith(range));
  return ranges.some(touches) ? undefined : 'apart';
}

/** The eight groups of an IPv6 address. */
function groupsOf(address: string): readonly number[] {
  const [head = '', tail = ''] = address.replace(/%.*$/, '').split('::');
  const [leading, trailing] = [readGroups(head), readGroups(tail)];
  return [...leading, ...Array<number>(8 - leading.length - trailing.length).fill(0), ...trailing];
}

/** An IPv4 address at the end is two groups. */
function readGroups(text: string): readonly number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return Number.parseInt(group, 16);
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [a * 256 + b, c * 256 + d];
  });
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
