// Keys of later versions: known by name, refused until they are available.
import type { Path } from './schema/reporter.ts';
import { occurrences, without } from './tree.ts';

interface LaterKey {
  readonly at: string;
  /** Only such values; without it the key is refused whatever it holds. */
  readonly only?: (value: unknown) => boolean;
  /** The name in the message; default the key, quoted. */
  readonly name?: string;
}

const selectors = ['allow', 'deny'];
const rules = ['routes.*.rules.*', 'routes.*.mcp.rules.*'];

const laterKeys: readonly LaterKey[] = [
  { at: 'tracing' },
  { at: 'server.workers', only: (value) => value !== 1, name: '"workers" other than 1' },
  { at: 'routes.*.mcp.probe' },
  ...rules.map((rule) => ({ at: `${rule}.require.during` })),
  ...rules.flatMap((rule) => selectors.map((selector) => ({ at: `${rule}.${selector}.during` }))),
];

/** A key of a later version in the file. */
export interface LaterKeyFound {
  readonly path: Path;
  readonly message: string;
}

/** Finds the keys of later versions and yields the tree without them. */
export function separateLaterKeys(tree: unknown): { tree: unknown; found: readonly LaterKeyFound[]; left: Path[] } {
  const found: LaterKeyFound[] = [];
  const left: Path[] = [];
  for (const later of laterKeys) {
    for (const { path, value } of occurrences(tree, later.at)) {
      if (later.only !== undefined && !later.only(value)) continue;
      const name = later.name ?? `"${path.at(-1)}"`;
      found.push({ path, message: `${name} is not available yet in this version` });
      left.push(path);
    }
  }
  return { tree: without(tree, left), found, left };
}
