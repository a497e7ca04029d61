// Reading of an upstream's catalogue: all pages of its lists, and what its search meta-tools show of each tool.
import { type Catalog, type CatalogEntry, catalogLists } from '../../mcp/catalog/catalog.ts';
import { type Definition, isMap, type Recorded, recordedOf } from '../../mcp/catalog/definition.ts';
import { readDefinition } from '../../mcp/catalog/pins.ts';
import type { MetaTools, SearchMetaTool } from '../../mcp/meta-tools.ts';
import { type Listing, type ListMember, listings } from '../../mcp/methods.ts';
import { filterSearch } from '../../mcp/response/search-filter.ts';
import { AskError } from '../../upstream/ask.ts';
import type { McpConnection } from './mcp-connection.ts';

const maxPages = 100;
const maxItems = 10_000;

/** Told each item of each list. */
export type TakeItem = (listing: Listing, name: string, item: Definition) => void;

/** Reads every list that the server says it has; all where it says nothing of any. Throws an AskError. */
export async function readLists(connection: McpConnection, take: TakeItem): Promise<void> {
  const { capabilities } = connection;
  const isAnnounced = ({ kind }: Listing) => isMap(capabilities[`${kind}s`]);
  const saysNothing = !catalogLists.some(isAnnounced);
  let items = 0;
  for (const [method, listing] of listings) {
    if (!isAnnounced(listing) && !saysNothing) continue;
    const cursors = new Set<string>();
    let cursor: string | undefined;
    do {
      const result = await connection.request(method, cursor === undefined ? {} : { cursor });
      if (result === undefined || (saysNothing && result[listing.member] === undefined)) break;
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

/** A catalogue, and sentences for the operator about what it lacks. */
export interface CatalogRead {
  readonly catalog: Catalog;
  readonly notes: readonly string[];
}

/** Tools that are found by a search only. */
export interface SearchOptions {
  /** Search meta-tools by name. */
  readonly searches: MetaTools['searches'];
  /** Names that are searched for, besides those of the list. */
  readonly names: readonly string[];
}

/**
 * Reads the whole catalogue: the lists, and what each search meta-tool shows when it is asked for each tool by name. Throws an AskError, also for a
 * name that stands in a list twice with different definitions.
 */
export async function readCatalog(connection: McpConnection, search: SearchOptions): Promise<CatalogRead> {
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
  const notes: string[] = [];
  for (const [name, tool] of search.searches) {
    const definition = lists.tools.get(name)?.listed?.definition;
    if (definition === undefined) continue;
    const found = await searchTools(
      connection,
      { name, definition, tool },
      [...search.names, ...lists.tools.keys()],
      notes,
    );
    for (const [each, recorded] of found) lists.tools.set(each, { ...lists.tools.get(each), found: recorded });
  }
  const { protocolVersion, server } = connection;
  return { catalog: { protocolVersion, server, ...lists }, notes };
}

interface SearchTool {
  readonly name: string;
  readonly definition: Definition;
  readonly tool: SearchMetaTool;
}

/** The tools as searches for the names show them. One that two searches show differently is left out. */
async function searchTools(
  connection: McpConnection,
  { name, definition, tool }: SearchTool,
  names: readonly string[],
  notes: string[],
): Promise<Map<string, Recorded>> {
  const found = new Map<string, Recorded>();
  const query = queryOf(definition);
  if (query === undefined) {
    notes.push(`${name}: its schema has no single text to search for; what only this search shows is not recorded`);
    return found;
  }
  const unsteady = new Set<string>();
  for (const wanted of new Set(names)) {
    if (found.has(wanted)) continue;
    const result = await connection.request('tools/call', { name, arguments: { [query]: wanted } });
    let problem: unknown;
    filterSearch(Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: 1, result })), {
      tool,
      withheld: (cause) => {
        problem = cause;
      },
      shows: (each, item) => {
        const shown = item === undefined ? undefined : recordedOf('tools', readDefinition(item));
        const known = found.get(each);
        if (known !== undefined && known.digest !== shown?.digest) unsteady.add(each);
        if (shown !== undefined) found.set(each, shown);
        return true;
      },
    });
    if (problem !== undefined) {
      notes.push(`${name}: ${(problem as Error).message}; what only this search shows is not recorded`);
      break;
    }
  }
  for (const each of unsteady) {
    notes.push(`${name} shows ${JSON.stringify(each)} differently from search to search; it is not recorded as found`);
    found.delete(each);
  }
  return found;
}

/** The one text that the search must be given. */
function queryOf({ inputSchema }: Definition): string | undefined {
  if (!isMap(inputSchema) || !isMap(inputSchema.properties) || !Array.isArray(inputSchema.required)) return undefined;
  const [name, ...others] = inputSchema.required;
  const property = typeof name === 'string' && others.length === 0 ? inputSchema.properties[name] : undefined;
  return isMap(property) && property.type === 'string' ? (name as string) : undefined;
}
