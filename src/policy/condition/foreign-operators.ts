// Operators and constants of other languages in a condition, and how CEL writes them.

/** By what stands in the condition, words in lower case. */
const spelling: ReadonlyMap<string, string> = new Map(
  Object.entries({
    and: '&&',
    or: '||',
    not: '!',
    '&': '&&',
    '|': '||',
    '=': '==',
    '===': '==',
    '!==': '!=',
    '<>': '!=',
    '=<': '<=',
    '=>': '>=',
    is: '==',
    eq: '==',
    ne: '!=',
    true: 'true',
    false: 'false',
    none: 'null',
    nil: 'null',
    undefined: 'null',
  }),
);

/**
 * A sentence about the operator of another language at an offset, or in front of it, with its place. Undefined where none stands there. A parser
 * stumbles over `and` itself, but behind `not`.
 */
export function foreignOperator(source: string, offset: number): string | undefined {
  for (const { 0: token, index } of source.matchAll(/[A-Za-z_]\w*|[=!<>&|]+/g)) {
    const end = index + token.length;
    const between = source.slice(end, offset);
    const written = spelling.get(token.toLowerCase());
    if (written === undefined || written === token || index > offset) continue;
    if (end > offset || (token.toLowerCase() === 'not' && between.trim() === '')) {
      return `"${token}" is written ${written} in a condition, at character ${index + 1}`;
    }
  }
  return undefined;
}
