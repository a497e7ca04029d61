// Reading of an upstream's catalogue: all pages of its lists, and what its search meta-tools show of each tool.
import { type Catalog, type CatalogEntry, catalogLists } from '../../mcp/catalog/catalog.ts';
import { type Definition, isMap, recordedOf } from '../../mcp/catalog/definition.ts';
import { type Listing, type ListMember, listings } from '../../mcp/methods.ts';
import { AskError } from '../../upstream/ask.ts';
import type { McpConnection } from './mcp-connection.ts';

const maxPages = 200;
const maxItems = 10_000;

/** Told each item of each list. */
export type TakeItem = (listing: Listing, name: string, item: Definition) => void;

/** Reads every list that the server says it has. Throws an AskError. */
export async function readLists(connection: McpConnection, take: TakeItem): Promise<void> {
  let items = 0;
  for (const [method, listing] of listings) {
    if (!isMap(connection.capabilities[`${listing.kind}s`])) continue;
    const cursors = new Set<string>();
    let cursor: string | undefined;
    do {
      const result = await connection.request(method, cursor === undefined ? {} : { cursor });
      if (result === undefined) break;
      for (const item of itemsOf(result, method, listing)) {
        if (++items > maxItems) throw new AskError('endless', `the lists have more than ${maxItems} items`);
        take(listing, item[listing.key] as string, item);
      }
      cursor = typeof result.nextCursor === 'string' ? result.nextCursor : undefined;
      if (cursor === undefined) break;
      if (cursors.has(cursor) || cursors.size >= maxPages) throw new AskError('endless', `${method} has no last page`);
      cursors.add(cursor);
    } while (cursor !== undefined);
  }
}

function itemsOf(result: Definition, method: string, { key, member }: Listing): readonly Definition[] {
  const items = result[member];
  if (Array.isArray(items) && items.every((item) => isMap(item) && typeof item[key] === 'string')) return items;
  throw new AskError('unreadable', `${method}: the result has no list \`${member}\` whose items have a ${key}`);
}

/** Reads the whole catalogue. Throws an AskError, also for a name that stands in a list twice with different definitions. */
export async function readCatalog(connection: McpConnection): Promise<Catalog> {
  const lists = Object.fromEntries(
    catalogLists.map(({ member }) => [member, new Map<string, CatalogEntry>()]),
  ) as Record<ListMember, Map<string, CatalogEntry>>;
  await readLists(connection, ({ member }, name, item) => {
    const listed = recordedOf(member, item);
    const known = lists[member].get(name)?.listed;
    if (known !== undefined && known.digest !== listed.digest) {
      throw new AskError('unreadable', `\`${member}\` has two different definitions of ${JSON.stringify(name)}`);
    }
    lists[member].set(name, { listed });
  });
  const { protocolVersion, server } = connection;
  return { protocolVersion, server, ...lists };
}
