// Selects by the client's address: `networks: [10.0.0.0/8]`.
import { compileNetworks } from '../ip-ranges.ts';
import type { Selector } from './selector.ts';

/** Throws an Error that names a range that is none. */
export function compileNetworkSelector(ranges: readonly string[]): Selector {
  const contains = compileNetworks(ranges);
  return ({ client }) => contains(client.address);
}
