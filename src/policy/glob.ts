// Globs with one sign: `*` is any run of characters, `/` and `.` included; all else is literal and case matters.

export type Matcher = (text: string) => boolean;

/** Compiles one glob. Matching walks the text once for each literal part, with no backtracking. */
export function compileGlob(glob: string): Matcher {
  const [prefix = '', ...rest] = glob.split('*');
  const suffix = rest.pop();
  if (suffix === undefined) return (text) => text === glob;
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

/** Reports whether everything that `narrower` matches is matched by `wider` too. */
export function covers(wider: string, narrower: string): boolean {
  // No literal part of a glob holds a `*`, so in the narrower one it stands for characters that only a `*` of the wider one can match.
  return compileGlob(wider)(narrower);
}
