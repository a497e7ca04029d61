// Globs: `*` is any run of characters, `/` and `.` included; all else is literal and case matters.

export type Matcher = (text: string) => boolean;

/** Compiles one glob. Matching walks the text once for each literal part, with no backtracking. */
export function compileGlob(glob: string): Matcher {
  return compileParts(glob.split('*'));
}

/** The same for literal parts with any run of characters between each two of them. */
function compileParts([prefix = '', ...rest]: readonly string[]): Matcher {
  const suffix = rest.pop();
  if (suffix === undefined) return (text) => text === prefix;
  const inner = rest.filter((part) => part !== '');
  return (text) => {
    const end = text.length - suffix.length;
    if (end < prefix.length || !text.startsWith(prefix) || !text.endsWith(suffix)) return false;
    let position = prefix.length;
    for (const part of inner) {
      const found = text.indexOf(part, position);
      if (found === -1 || found + part.length > end) return false;
      position = found + part.length;
    }
    return true;
  };
}

/** Compiles globs of which any may match. Those without `*` are looked up, not tried. */
export function compileGlobs(globs: readonly string[]): Matcher {
  const literals = new Set(globs.filter((glob) => !glob.includes('*')));
  const patterns = globs.filter((glob) => glob.includes('*')).map(compileGlob);
  return (text) => literals.has(text) || patterns.some((matches) => matches(text));
}

/** The share of a pattern's names that is matched. */
export type Coverage = 'all' | 'some' | 'none';

/**
 * Compares globs with patterns: literal parts with any run of characters between each two of them. A single part is the name itself.
 * `except` are names that the pattern does not stand for. Names that only several globs together match are `some`, and so are names that a glob with a `*` could
 * match of the exceptions alone; otherwise `none` is exact.
 */
export type CoverageOf = (pattern: readonly string[], except: ReadonlySet<string>) => Coverage;

/** Compiles globs to a function that compares them with a pattern. */
export function compileCoverage(globs: readonly string[]): CoverageOf {
  const matches = compileGlobs(globs);
  const all = globs.map((glob) => ({ glob, parts: glob.split('*') }));
  return (pattern, except) => {
    // A `*` of the pattern, literal or not, is a character that only a `*` of a glob can match.
    if (matches(pattern.join('*'))) return 'all';
    if (pattern.length === 1) return 'none';
    return all.some(({ glob, parts }) => !except.has(glob) && overlaps(parts, pattern)) ? 'some' : 'none';
  };
}

/** Between two runs of any characters everything fits, so that only the ends can contradict each other. */
function overlaps(glob: readonly string[], pattern: readonly string[]): boolean {
  if (glob.length === 1) return compileParts(pattern)(glob[0]!);
  const [prefix, other] = [glob[0]!, pattern[0]!];
  const [suffix, otherSuffix] = [glob.at(-1)!, pattern.at(-1)!];
  return (
    (prefix.startsWith(other) || other.startsWith(prefix)) &&
    (suffix.endsWith(otherSuffix) || otherSuffix.endsWith(suffix))
  );
}

/** Reports whether everything that `narrower` matches is matched by `wider` too. */
export function globCovers(wider: string, narrower: string): boolean {
  // No literal part of a glob holds a `*`, so in the narrower one it stands for characters that only a `*` of the wider one can match.
  return compileGlob(wider)(narrower);
}
