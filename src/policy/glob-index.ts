// Index of globs: finds the entries that may match a text, by the text itself, its beginnings and its ends.

/** Positions of entries, ascending. */
export type Positions = readonly number[];

/** Adds lists of positions to `found`: of each entry with a glob that matches the text, and of some others. An entry may stand in several. */
export type GlobIndex = (text: string, found: Positions[]) => void;

/** Indexes entries in the order of their positions. A glob with a `*` is found by the longer of its two ends. */
export function indexGlobs(entries: readonly (readonly [position: number, globs: readonly string[]])[]): GlobIndex {
  const literals = new Map<string, number[]>();
  const prefixes = new Map<string, number[]>();
  const suffixes = new Map<string, number[]>();
  for (const [position, globs] of entries) {
    for (const glob of globs) {
      const prefix = glob.slice(0, glob.indexOf('*'));
      const suffix = glob.slice(glob.lastIndexOf('*') + 1);
      if (!glob.includes('*')) add(literals, glob, position);
      else if (prefix.length >= suffix.length) add(prefixes, prefix, position);
      else add(suffixes, suffix, position);
    }
  }
  const prefixLengths = lengthsOf(prefixes);
  const suffixLengths = lengthsOf(suffixes);
  return (text, found) => {
    addFound(literals.get(text), found);
    for (const length of prefixLengths) {
      if (length <= text.length) addFound(prefixes.get(text.slice(0, length)), found);
    }
    for (const length of suffixLengths) {
      if (length <= text.length) addFound(suffixes.get(text.slice(text.length - length)), found);
    }
  };
}

function add(index: Map<string, number[]>, key: string, position: number): void {
  const positions = index.get(key);
  if (positions === undefined) index.set(key, [position]);
  else if (positions.at(-1) !== position) positions.push(position);
}

function addFound(positions: Positions | undefined, found: Positions[]): void {
  if (positions !== undefined) found.push(positions);
}

function lengthsOf(index: ReadonlyMap<string, unknown>): number[] {
  return [...new Set([...index.keys()].map(({ length }) => length))];
}
