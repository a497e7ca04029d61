// Keys of later versions: known by name, refused until they are available.
import type { Path } from './schema/reporter.ts';
import { occurrences, without } from './tree.ts';

const selectors = ['allow', 'deny'];
const rules = ['routes.*.rules.*', 'routes.*.mcp.rules.*'];

const laterKeys: readonly string[] = [
  'routes.*.mcp.probe',
  ...rules.map((rule) => `${rule}.require.during`),
  ...rules.flatMap((rule) => selectors.map((selector) => `${rule}.${selector}.during`)),
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
  for (const key of laterKeys) {
    for (const { path } of occurrences(tree, key)) {
      found.push({ path, message: `"${path.at(-1)}" is not available yet in this version` });
      left.push(path);
    }
  }
  return { tree: without(tree, left), found, left };
}
