// Words of the code: first lines, comments and names in standard terms, doc comments for exports, files of a readable size.
import t from 'tap';
import {
  isClassDeclaration,
  isFunctionDeclaration,
  isIdentifier,
  isInterfaceDeclaration,
  type Node,
  type SourceFile,
  SyntaxKind,
} from 'typescript/unstable/ast';
import { commentsOf, nodesOf, parse, parseSource } from './source.ts';

/** Words that had a meaning here only. The standard term stands beside each. */
const privateWords: Readonly<Record<string, string>> = {
  admit: 'build the caller',
  again: 'reauthenticate',
  company: 'batch',
  door: 'app',
  footing: 'authorization state',
  front: 'app',
  inquiry: 'single flight',
  leftBehind: 'drain after disconnect',
  passage: 'transfer',
  plan: 'requirements',
  review: 'check report',
  salvage: 'valid part',
  standing: 'authorization state',
  tally: 'gone',
  underWay: 'concurrency',
};

const files = parseSource();

/** Those of all files, each behind the path of its file. One assertion a file costs more than the search. */
function faults(faultsOf: (file: SourceFile) => readonly string[]): string[] {
  return [...files].flatMap(([path, file]) => faultsOf(file).map((fault) => `${path}: ${fault}`));
}

t.test('the first line of every file is a noun phrase', (t) => {
  t.same(
    faults(({ text }) => [faultOfFirstLine(text) ?? []].flat()),
    [],
  );
  t.end();
});

t.test('no sentence of a comment begins with What, Whether, Whose, Who, How or Why', (t) => {
  t.same(faults(riddlesOf), []);
  t.end();
});

t.test('no name has a private word', (t) => {
  t.same(faults(privateNamesOf), []);
  t.end();
});

t.test('every exported function, class and interface has a doc comment', (t) => {
  t.same(faults(undocumentedOf), []);
  t.end();
});

t.test('no file has more than 250 lines', (t) => {
  const long = [...files].filter(([, { text }]) => text.split('\n').length > 251).map(([path]) => path);
  t.same(long, []);
  t.end();
});

t.test('each of these faults is seen', (t) => {
  const text = [
    '// What a file is for.',
    "const text = '// What no comment is';",
    '/** Whether it is so. Fine. */',
    'export function salvageAll() {}',
    'export interface Plain {} // It is. Who asks? No one.',
    '/** Documented. */',
    'export class Documented extends Error {}',
    'const explanation = planet;',
  ].join('\n');
  const file = parse({ 'a.ts': text }).get('a.ts')!;
  t.equal(faultOfFirstLine(text), 'a riddle: What a file is for.');
  t.equal(faultOfFirstLine('import'), 'no comment');
  t.same(riddlesOf(file), ['What a file is for.', 'Whether it is so.', 'Who asks?']);
  t.same(privateNamesOf(file), ['salvageAll: valid part']);
  t.same(undocumentedOf(file), ['Plain']);
  t.end();
});

function faultOfFirstLine(text: string): string | undefined {
  const first = /^(?:#!.*\n)?\/\/ (.*)/.exec(text)?.[1];
  if (first === undefined) return 'no comment';
  if (/^(What|Whether|Whose|Who|How|Which|Why|Where|When|That|If|Everything|All)\b/.test(first))
    return `a riddle: ${first}`;
  if (!/^[A-Z`]/.test(first)) return `no noun phrase: ${first}`;
  return first.length > 140 ? `${first.length} characters` : undefined;
}

function riddlesOf(file: SourceFile): string[] {
  return commentsOf(file)
    .flatMap((comment) => comment.split(/(?<=[.!?]) /))
    .filter((sentence) => /^(What|Whether|Whose|Who|How|Why)\b/.test(sentence));
}

function privateNamesOf(file: SourceFile): string[] {
  const names = new Set([...nodesOf(file)].filter(isIdentifier).map(({ text }) => text));
  return [...names].flatMap((name) => {
    const words = ` ${name.replace(/(?<=[a-z0-9])(?=[A-Z])/g, ' ')} `.toLowerCase();
    const found = Object.keys(privateWords).find((word) =>
      words.includes(` ${word.replace(/(?=[A-Z])/g, ' ').toLowerCase()} `),
    );
    return found === undefined ? [] : [`${name}: ${privateWords[found]}`];
  });
}

function undocumentedOf(file: SourceFile): string[] {
  return file.statements.flatMap((statement) => {
    if (!isFunctionDeclaration(statement) && !isClassDeclaration(statement) && !isInterfaceDeclaration(statement))
      return [];
    const isExported = statement.modifiers?.some(({ kind }: Node) => kind === SyntaxKind.ExportKeyword) === true;
    const before = file.text.slice(statement.getFullStart(), statement.getStart(file));
    return isExported && !/\*\/\s*$/.test(before) ? [statement.name?.text ?? 'default'] : [];
  });
}
