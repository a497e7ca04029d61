// Tables that commands print: aligned text, CSV (RFC 4180), JSON, Markdown.

import { Option } from 'commander';
import { type CsvCell, csvText } from '../csv.ts';
import { printable, printableLines } from '../printable.ts';

/** Cells in rows. A cell of undefined is empty. */
export interface Table {
  /** Of the columns; in JSON they are the names of members. */
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
}

export type Cell = CsvCell;
export const tableFormats = ['table', 'csv', 'json', 'markdown'] as const;
export type TableFormat = (typeof tableFormats)[number];

/** `--format` of a command that prints a table. */
export function formatOption(): Option {
  return new Option('--format <format>', 'the form of the table').choices(tableFormats).default('table');
}

/** The table as text that ends in a newline. Control characters are escaped in every form. */
export function formatTable(table: Table, format: TableFormat): string {
  switch (format) {
    case 'table':
      return aligned(table);
    case 'csv':
      return csvText([table.columns, ...table.rows]);
    case 'json':
      return formatJson(asObjects(table), 2);
    case 'markdown':
      return markdown(table);
  }
}

/** The rows as objects. */
export function asObjects({ columns, rows }: Table): Readonly<Record<string, Cell>>[] {
  return rows.map((row) => Object.fromEntries(columns.map((column, index) => [column, row[index]])));
}

function aligned({ columns, rows }: Table): string {
  const cells = [columns, ...rows].map((row) =>
    row.map((cell) => (cell === undefined ? '-' : printable(String(cell)))),
  );
  const widths = columns.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  const isNumber = columns.map(
    (_, column) => rows.length > 0 && rows.every((row) => typeof (row[column] ?? 0) === 'number'),
  );
  return cells
    .map((row) => {
      const padded = row.map((cell, column) =>
        isNumber[column] ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
      );
      return `${padded.join('  ').trimEnd()}\n`;
    })
    .join('');
}

function markdown({ columns, rows }: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  const text = (cell: Cell): string => printable(String(cell ?? '')).replace(/[\\|`*_<>[\]]/g, '\\$&');
  return [line(columns), line(columns.map(() => '---')), ...rows.map((row) => line(row.map(text)))].join('');
}

/** A value as JSON (RFC 8259) on a line, or indented, with escapes for what a terminal acts on. */
export function formatJson(value: unknown, indent?: number): string {
  return `${printableLines(JSON.stringify(value, undefined, indent))}\n`;
}
