// Index of globs: finds the entries that may match a text or a pattern, by its beginnings and its ends.

/** Positions of entries, ascending. */
export type Positions = readonly number[];

/** Finds entries: each with a glob that matches, and some others. They are added as lists of positions; an entry may stand in several. */
export interface GlobIndex {
  /** Those that may match the text. */
  find(text: string, found: Positions[]): void;
  /** Those that may match a name of the pattern: literal parts with any run of characters between each two of them, two parts or more. */
  findOverlapping(pattern: readonly string[], found: Positions[]): void;
}

/** Indexes entries in the order of their positions. A glob with a `*` is found by the longer of its two ends. */
export function indexGlobs(entries: readonly (readonly [position: number, globs: readonly string[]])[]): GlobIndex {
  const literals: Table = new Map();
  const prefixes: Table = new Map();
  const suffixes: Table = new Map();
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
  const findBeginnings = (text: string, found: Positions[]): void => {
    for (const length of prefixLengths) {
      if (length <= text.length) addFound(prefixes.get(text.slice(0, length)), found);
    }
  };
  const [sortedLiterals, sortedPrefixes] = [sorted(literals), sorted(prefixes)];
  const all = entries.map(([position]) => position);
  return {
    find(text, found) {
      addFound(literals.get(text), found);
      findBeginnings(text, found);
      for (const length of suffixLengths) {
        if (length <= text.length) addFound(suffixes.get(text.slice(text.length - length)), found);
      }
    },
    findOverlapping(pattern, found) {
      const [prefix, suffix] = [pattern[0]!, pattern.at(-1)!];
      if (prefix === '' && suffix === '') return addFound(all, found);
      const overlapping: Positions[] = [];
      for (const key of beginningWith(prefix, sortedLiterals)) {
        if (key.endsWith(suffix)) addFound(literals.get(key), overlapping);
      }
      findBeginnings(prefix, overlapping);
      for (const key of beginningWith(prefix, sortedPrefixes)) addFound(prefixes.get(key), overlapping);
      for (const [key, positions] of suffixes) {
        if (key.endsWith(suffix) || suffix.endsWith(key)) addFound(positions, overlapping);
      }
      found.push(ascending(overlapping));
    },
  };
}

/** Each position of the lists once. */
export function ascending(lists: readonly Positions[]): Positions {
  return [...new Set(lists.flat())].sort((one, other) => one - other);
}

type Table = Map<string, number[]>;

function add(table: Table, key: string, position: number): void {
  const positions = table.get(key);
  if (positions === undefined) table.set(key, [position]);
  else if (positions.at(-1) !== position) positions.push(position);
}

function addFound(positions: Positions | undefined, found: Positions[]): void {
  if (positions !== undefined) found.push(positions);
}

function lengthsOf(table: Table): number[] {
  return [...new Set([...table.keys()].map(({ length }) => length))];
}

function sorted(table: Table): readonly string[] {
  return [...table.keys()].sort();
}

/** Those of sorted texts that begin with the prefix. */
function beginningWith(prefix: string, texts: readonly string[]): readonly string[] {
  let [from, to] = [0, texts.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (texts[middle]! < prefix) from = middle + 1;
    else to = middle;
  }
  while (texts[to]?.startsWith(prefix)) to += 1;
  return texts.slice(from, to);
}
