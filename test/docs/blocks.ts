// Fenced blocks of the pages: README.md and docs.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Block {
  /** Such as `docs/operations.md`. */
  readonly page: string;
  /** The line of its fence. */
  readonly line: number;
  readonly language: string;
  /** Without the indentation of its fence, with a line break at the end. */
  readonly text: string;
  /** The block behind it, where nothing but blank lines stands between. */
  readonly next: Block | undefined;
}

const root = join(import.meta.dirname, '../..');

export const pages: readonly string[] = [
  'README.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

export function blocksOf(page: string): Block[] {
  const text = readFileSync(join(root, page), 'utf8');
  const fences = [...text.matchAll(/^([ ]*)```([^\n`]*)\n([\s\S]*?)^\1```[ ]*\n/gm)];
  const blocks: Block[] = [];
  for (const { 0: whole, 1: indent = '', 2: language = '', 3: content = '', index } of fences.reverse()) {
    const following = blocks[0];
    const end = index + whole.length;
    const start = following === undefined ? -1 : offsetOf(text, following.line);
    blocks.unshift({
      page,
      line: text.slice(0, index).split('\n').length,
      language: language.trim(),
      text: content.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
      next: following !== undefined && text.slice(end, start).trim() === '' ? following : undefined,
    });
  }
  return blocks;
}

/** How a table names a block: by its first line. */
export function firstLine({ text }: Block): string {
  return text.split('\n', 1)[0]!;
}

function offsetOf(text: string, line: number): number {
  return text
    .split('\n')
    .slice(0, line - 1)
    .join('\n').length;
}
