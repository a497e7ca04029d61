// Text output of rows: CSV, a table, and a bar chart of characters.

type Row = Readonly<Record<string, string | number | null>>;

/** CSV with a header line (RFC 4180). */
export function csv(columns: readonly string[], rows: readonly Row[]): string {
  const cell = (value: string | number | null) => {
    const text = value === null ? '' : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows.map((row) => columns.map((name) => row[name] ?? null))]
    .map((line) => `${line.map(cell).join(',')}\r\n`)
    .join('');
}

/** A table with aligned columns and a header line. */
export function table(columns: readonly string[], rows: readonly Row[]): string {
  const lines = [columns, ...rows.map((row) => columns.map((name) => shown(row[name] ?? null)))];
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => (line[index] ?? '').length)));
  const rendered = lines.map((line) =>
    line
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join(' | ')
      .trimEnd(),
  );
  rendered.splice(1, 0, widths.map((width) => '-'.repeat(width)).join('-+-'));
  return rendered.join('\n');
}

/** A bar for each row: the first column is its name, the second its length. */
export function bars(columns: readonly string[], rows: readonly Row[], width = 40): string {
  const [label = '', value = ''] = columns;
  const amounts = rows.map((row) => Number(row[value] ?? 0));
  const largest = Math.max(...amounts, 0) || 1;
  const labelWidth = Math.max(...rows.map((row) => shown(row[label] ?? null).length), 0);
  return rows
    .map((row, index) => {
      const amount = amounts[index] ?? 0;
      const bar = '█'.repeat(Math.max(0, Math.round((amount / largest) * width)));
      return `${shown(row[label] ?? null).padEnd(labelWidth)} ${bar} ${shown(amount)}`;
    })
    .join('\n');
}

function shown(value: string | number | null): string {
  if (typeof value === 'number' && !Number.isInteger(value)) return value.toFixed(2);
  return value === null ? '' : String(value);
}
