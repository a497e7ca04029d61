// Comparison of two catalogues: names that were added, are gone, or have another definition.
import { type Catalog, type CatalogEntry, catalogLists } from './catalog.ts';
import type { Recorded } from './definition.ts';
import { type Difference, differencesOf } from './difference.ts';

/** A difference between a recorded catalogue and that of now. */
export interface CatalogDifference {
  /** A list of the catalogue, or `server`, whose name, version or protocol revision differs. */
  readonly list: string;
  readonly name: string;
  readonly change: 'added' | 'removed' | 'changed';
  /** The form that differs: in a list, or in the result of a search. Undefined for a name as a whole. */
  readonly form?: 'listed' | 'found' | undefined;
  readonly recorded?: string | undefined;
  readonly seen?: string | undefined;
  readonly differences: readonly Difference[];
}

/** The differences, in the order of the file; none where both have the same bytes as a file. */
export function compareCatalogs(recorded: Catalog, seen: Catalog): CatalogDifference[] {
  const about = ({ protocolVersion, server }: Catalog) => ({ protocolVersion, ...server });
  const ofServer = differencesOf(about(recorded), about(seen));
  const server: CatalogDifference[] =
    ofServer.length === 0 ? [] : [{ list: 'server', name: seen.server.name, change: 'changed', differences: ofServer }];
  return [
    ...server,
    ...catalogLists.flatMap(({ member }) => {
      const names = new Set([...recorded[member].keys(), ...seen[member].keys()]);
      return [...names].sort().flatMap((name) => {
        const [before, now] = [recorded[member].get(name), seen[member].get(name)];
        return before === undefined || now === undefined
          ? [
              {
                list: member,
                name,
                change: before === undefined ? ('added' as const) : ('removed' as const),
                differences: [],
              },
            ]
          : compareEntries(member, name, before, now);
      });
    }),
  ];
}

function compareEntries(list: string, name: string, before: CatalogEntry, now: CatalogEntry): CatalogDifference[] {
  return (['listed', 'found'] as const).flatMap((form): CatalogDifference[] => {
    const [recorded, seen] = [before[form], now[form]];
    if (recorded?.digest === seen?.digest) return [];
    const change = recorded === undefined ? 'added' : seen === undefined ? 'removed' : 'changed';
    const differences = recorded === undefined || seen === undefined ? [] : differencesBetween(recorded, seen);
    return [{ list, name, change, form, recorded: recorded?.digest, seen: seen?.digest, differences }];
  });
}

function differencesBetween(recorded: Recorded, seen: Recorded): Difference[] {
  return differencesOf(recorded.definition, seen.definition);
}
