// JSON pointers (RFC 6901).

/** The steps of a pointer, unescaped; none for `""`, which is the whole. */
export function parsePointer(pointer: string): readonly string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** The value at the end of the steps; undefined when there is none. Members of arrays are found by their number. */
export function valueAt(value: unknown, steps: readonly string[]): unknown {
  let found = value;
  for (const step of steps) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, step)) return undefined;
    if (Array.isArray(found) && !arrayIndex.test(step)) return undefined;
    found = (found as Record<string, unknown>)[step];
  }
  return found;
}

const arrayIndex = /^(?:0|[1-9][0-9]*)$/;
