// The rooms of src and the imports between them.
import { dirname, join } from 'node:path/posix';
import type { SourceFile } from 'typescript/unstable/ast';
import { type Import, importsOf } from './source.ts';

/** A room and the rooms that it imports. */
export type Rooms = readonly (readonly [name: string, imports: readonly string[]])[];

/** The imports of every file; those of files of ours as paths below `src`, packages as they are named. */
export function importGraph(files: ReadonlyMap<string, SourceFile>): Map<string, Import[]> {
  return new Map(
    [...files].map(([path, file]) => [
      path,
      importsOf(file).map((found) => ({ ...found, specifier: resolve(path, found.specifier) })),
    ]),
  );
}

function resolve(path: string, specifier: string | undefined): string | undefined {
  return specifier?.startsWith('.') ? join(dirname(path), specifier) : specifier;
}

/** The room of a file: the longest path of the table that leads to it. */
export function roomOf(path: string, rooms: Rooms): string | undefined {
  const names = rooms.map(([name]) => name).filter((name) => path === `${name}.ts` || path.startsWith(`${name}/`));
  return names.sort((left, right) => right.length - left.length)[0];
}

/** The groups of files that import each other, directly or by way of others; types count. */
export function circles(graph: ReadonlyMap<string, readonly Import[]>): string[][] {
  const reach = new Map([...graph.keys()].map((path) => [path, reachable(path, graph)]));
  const groups = new Map<string, string[]>();
  for (const [path, reached] of reach) {
    if (!reached.has(path)) continue;
    const group = [...reached].filter((other) => reach.get(other)?.has(path)).sort();
    groups.set(group[0]!, group);
  }
  return [...groups.values()];
}

/** The modules that a file loads, by way of others too; itself only when it stands in a circle. */
export function reachable(
  path: string,
  graph: ReadonlyMap<string, readonly Import[]>,
  follow: (found: Import) => boolean = () => true,
): Set<string> {
  const reached = new Set<string>();
  const next = [path];
  for (let at = next.pop(); at !== undefined; at = next.pop()) {
    for (const found of graph.get(at) ?? []) {
      if (found.specifier === undefined || !follow(found) || reached.has(found.specifier)) continue;
      reached.add(found.specifier);
      next.push(found.specifier);
    }
  }
  return reached;
}
