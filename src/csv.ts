// Rows as comma-separated values (RFC 4180), which a spreadsheet takes as data.
import { printable } from './printable.ts';

/** A cell; undefined is an empty one. */
export type CsvCell = string | number | undefined;

/** A spreadsheet would take text that begins so for a formula, and callers choose some of it. */
const formula = /^[=+\-@]/;

/** The rows, each with a line break at its end. Control characters are escaped. */
export function csvText(rows: readonly (readonly CsvCell[])[]): string {
  return rows.map((row) => `${row.map(csvCell).join()}\r\n`).join('');
}

function csvCell(cell: CsvCell): string {
  if (typeof cell !== 'string') return String(cell ?? '');
  const text = printable(cell);
  const safe = formula.test(text) ? `'${text}` : text;
  return /[",]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
