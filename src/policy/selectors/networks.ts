// The `networks` selector: address ranges of the client.
import { networks as ranges } from '../../config/schema/values.ts';
import { compileNetworks, rangeBits } from '../../ip-ranges.ts';
import { type ConfigOf, listCovers, type SelectorType, selectorOf } from './selector-type.ts';

const keys = { networks: ranges.optional().describe('Addresses of the client.') };

export const networks = {
  keys,
  compile({ networks: wanted }) {
    if (wanted === undefined) return undefined;
    const contains = compileNetworks(wanted);
    const globs = wanted.map((range) => `${rangeBits(range)}*`);
    return selectorOf(({ client }) => contains(client.address), [{ network: globs }]);
  },
  had: ({ client }) => client.address,
  covers: (wider, narrower) => listCovers(wider.networks, narrower.networks),
} satisfies SelectorType<ConfigOf<typeof keys>>;
