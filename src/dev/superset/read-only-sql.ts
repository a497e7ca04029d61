// Check that SQL is one SELECT statement. The first of three guards; the others are a read-only database handle and,
// where Node has it, SQLite's authorizer.

const openingWords = new Set(['SELECT', 'WITH', 'VALUES']);
const verbs = new Set(['SELECT', 'VALUES', 'INSERT', 'UPDATE', 'DELETE', 'REPLACE']);
/** Functions that reach outside the database, or make huge values from small arguments. */
const refusedFunctions = new Set([
  'load_extension',
  'readfile',
  'writefile',
  'edit',
  'fts3_tokenizer',
  'randomblob',
  'zeroblob',
  'printf',
  'format',
]);

interface Token {
  readonly kind: 'word' | 'quoted' | 'symbol';
  readonly text: string;
}

/** The reason of a refusal, in words for the caller; undefined for one reading statement. */
export function refusalOfSql(sql: string): string | undefined {
  if (sql.includes('\0')) return 'SQL must not contain NUL characters';
  const tokens = tokenize(sql);
  if (typeof tokens === 'string') return tokens;
  const first = tokens[0];
  if (first === undefined) return 'SQL query cannot be empty';
  const opening = first.kind === 'word' ? first.text.toUpperCase() : first.text;
  if (!openingWords.has(opening)) return `only SELECT statements are allowed, not ${opening.slice(0, 20)}`;
  const end = tokens.findIndex((token) => token.kind === 'symbol' && token.text === ';');
  if (end !== -1 && tokens.slice(end).some((token) => token.text !== ';' || token.kind !== 'symbol')) {
    return 'only one statement is allowed';
  }
  const verb = mainVerb(tokens);
  if (verb !== 'SELECT' && verb !== 'VALUES') return `only SELECT statements are allowed, not ${verb ?? 'this one'}`;
  const called = tokens.find((token, index) => isRefusedCall(token, tokens[index + 1]));
  return called === undefined ? undefined : `the function ${called.text} is not allowed`;
}

/** The first verb outside parentheses: the verb of the statement, also after WITH. */
function mainVerb(tokens: readonly Token[]): string | undefined {
  let depth = 0;
  for (const token of tokens) {
    if (token.kind === 'symbol' && token.text === '(') depth++;
    else if (token.kind === 'symbol' && token.text === ')') depth--;
    else if (token.kind === 'word' && depth === 0 && verbs.has(token.text.toUpperCase()))
      return token.text.toUpperCase();
  }
  return undefined;
}

function isRefusedCall(token: Token, next: Token | undefined): boolean {
  return token.kind !== 'symbol' && next?.text === '(' && refusedFunctions.has(token.text.toLowerCase());
}

const space = /[\s\uFEFF]+/y;
const lineComment = /--[^\n]*/y;
const blockComment = /\/\*[\s\S]*?\*\//y;
const quoted = /'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]/y;
const word = /[\p{L}\p{N}_$]+/uy;

/** The tokens without white space and comments, or the reason of a refusal. */
function tokenize(sql: string): Token[] | string {
  const tokens: Token[] = [];
  let position = 0;
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = position;
    const match = pattern.exec(sql)?.[0];
    if (match !== undefined) position += match.length;
    return match;
  };
  while (position < sql.length) {
    if (take(space) ?? take(lineComment) ?? take(blockComment)) continue;
    const literal = take(quoted);
    if (literal !== undefined) {
      tokens.push({ kind: 'quoted', text: literal.slice(1, -1) });
      continue;
    }
    const name = take(word);
    if (name !== undefined) {
      tokens.push({ kind: 'word', text: name });
      continue;
    }
    const symbol = sql.charAt(position);
    if (`'"\`[`.includes(symbol) || sql.startsWith('/*', position)) return 'SQL has an unterminated quote or comment';
    tokens.push({ kind: 'symbol', text: symbol });
    position++;
  }
  return tokens;
}
