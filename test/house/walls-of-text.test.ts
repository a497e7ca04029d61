// Walls of text in the pages: tables hold words, and a paragraph or an item of a list is a few lines.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

const root = join(import.meta.dirname, '../..');
const pages = [
  'README.md',
  'SECURITY.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** Characters that a reader sees. About four lines of a page, and of a cell about four lines of a narrow column. */
const bounds = { cell: 160, text: 420 };

t.test('no cell of a table is longer than a sentence or two', (t) => {
  const cells = pages.flatMap((page) => cellsOf(page));
  t.ok(cells.length > 4000, `${cells.length} cells`);
  t.same(
    cells.filter(({ text }) => text.length > bounds.cell).map(told),
    [],
    'say the rest below the table, as a list',
  );
  t.end();
});

t.test('no paragraph and no item of a list is longer than a few lines', (t) => {
  const texts = pages.flatMap((page) => paragraphsOf(page));
  t.ok(texts.length > 900, `${texts.length} paragraphs`);
  t.same(
    texts.filter(({ text }) => text.length > bounds.text).map(told),
    [],
    'make a list, a table or two paragraphs of it',
  );
  t.end();
});

interface Text {
  readonly page: string;
  readonly line: number;
  readonly text: string;
}

/** Cells but those that list files: the tests that hold a row. */
function cellsOf(page: string): Text[] {
  return linesOf(page)
    .filter(({ text }) => text.startsWith('|'))
    .flatMap(({ text, ...place }) =>
      text
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .filter((cell) => !/^[\s,]*(`[\w./-]+\.ts`[\s,]*)+$/.test(cell))
        .map((cell) => ({ ...place, text: seen(cell) })),
    );
}

function paragraphsOf(page: string): Text[] {
  const paragraphs: Text[] = [];
  let open: Text | undefined;
  const close = () => {
    if (open !== undefined) paragraphs.push({ ...open, text: seen(open.text) });
    open = undefined;
  };
  for (const { line, text } of linesOf(page)) {
    const isItem = /^\s*([-*]|\d+\.) /.test(text);
    if (isItem || text.trim() === '' || /^[|#]/.test(text)) close();
    if (text.trim() === '' || /^[|#]/.test(text)) continue;
    open = open === undefined ? { page, line, text } : { ...open, text: `${open.text} ${text.trim()}` };
  }
  close();
  return paragraphs;
}

/** The lines outside of code. */
function linesOf(page: string): Text[] {
  let isCode = false;
  const lines: Text[] = [];
  for (const [index, text] of readFileSync(join(root, page), 'utf8').split('\n').entries()) {
    const isFence = /^\s*```/.test(text);
    if (isFence) isCode = !isCode;
    lines.push({ page, line: index + 1, text: isCode || isFence ? '' : text });
  }
  return lines;
}

/** Without the targets of links and the signs of Markdown. */
function seen(text: string): string {
  return text
    .trim()
    .replace(/^([-*]|\d+\.) /, '')
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/`|\*\*/g, '');
}

function told({ page, line, text }: Text): string {
  return `${page}:${line} ${text.length} characters: ${text.slice(0, 60)}…`;
}
