// Trees of plain values: places that match a pattern of keys, and copies with parts changed or left out.
import type { Path } from './schema/reporter.ts';

/** A value and its path in a tree. */
export interface Occurrence {
  readonly path: Path;
  readonly value: unknown;
}

/** Every place that a pattern such as `upstreams.*.tls.caFile` occurs at; `*` is any key or index. */
export function occurrences(tree: unknown, pattern: string): Occurrence[] {
  let found: Occurrence[] = [{ path: [], value: tree }];
  for (const step of pattern.split('.')) {
    found = found.flatMap(({ path, value }) =>
      children(value)
        .filter(([key]) => step === '*' || step === key)
        .map(([key, child]) => ({ path: [...path, key], value: child })),
    );
  }
  return found;
}

/** The value at a path; undefined when there is none. */
export function valueAt(tree: unknown, path: Path): unknown {
  let value = tree;
  for (const step of path) value = children(value).find(([key]) => key === step)?.[1];
  return value;
}

/** A copy with every string put through `change`. */
export function mapStrings(tree: unknown, change: (text: string, path: Path) => string, path: Path = []): unknown {
  if (typeof tree === 'string') return change(tree, path);
  if (Array.isArray(tree)) return tree.map((item, index) => mapStrings(item, change, [...path, index]));
  if (!isObject(tree)) return tree;
  return Object.fromEntries(
    Object.entries(tree).map(([key, value]) => [key, mapStrings(value, change, [...path, key])]),
  );
}

/** A copy without the values at these paths. Later items of an array move up: `positions` tells where they stood. */
export function without(
  tree: unknown,
  paths: readonly Path[],
  positions: Map<unknown, readonly number[]> = new Map(),
): unknown {
  if (paths.length === 0 || (!Array.isArray(tree) && !isObject(tree))) return tree;
  const kept = children(tree)
    .filter(([key]) => !paths.some((path) => path.length === 1 && path[0] === key))
    .map(([key, value]) => {
      const below = paths.filter((path) => path[0] === key).map((path) => path.slice(1));
      return [key, without(value, below, positions)] as const;
    });
  if (!Array.isArray(tree)) return Object.fromEntries(kept);
  const items = kept.map(([, value]) => value);
  const before = positions.get(tree);
  positions.set(
    items,
    kept.map(([key]) => before?.[key as number] ?? (key as number)),
  );
  return items;
}

/** True for an object that is no array. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function children(value: unknown): [string | number, unknown][] {
  if (Array.isArray(value)) return value.map((item, index) => [index, item]);
  return isObject(value) ? Object.entries(value) : [];
}
