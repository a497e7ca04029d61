// Report of a part: a table of figures, and the bounds with the ratios that were measured.

export interface Check {
  readonly of: string;
  readonly measured: number;
  readonly atMost: number;
}

export interface Report {
  readonly part: string;
  /** Settings and method, in a line. */
  readonly told: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly checks: readonly Check[];
  /** Every sample, for a program. */
  readonly samples: unknown;
}

/** Prints both tables in Markdown. */
export function printReport({ part, told, header, rows, checks }: Report): void {
  console.log(`## ${part}\n\n${told}\n`);
  printTable(header, rows);
  printTable(
    ['bound', 'measured', 'at most', ''],
    checks.map((check) => [
      check.of,
      check.measured.toFixed(2),
      String(check.atMost),
      isMet(check) ? 'met' : '**NOT met**',
    ]),
  );
}

export function isMet({ measured, atMost }: Check): boolean {
  return measured <= atMost;
}

function printTable(header: readonly string[], rows: readonly (readonly string[])[]): void {
  if (rows.length === 0) return;
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  console.log(`${[line(header), `|${'---|'.repeat(header.length)}`, ...rows.map(line)].join('\n')}\n`);
}

/** The value below which this share of them lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}

export function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The median, and the quartiles around it. */
export function spread(values: readonly number[], digits: number): string {
  const [low, high] = [quantile(values, 0.25), quantile(values, 0.75)];
  return `${median(values).toFixed(digits)} (${low.toFixed(digits)}–${high.toFixed(digits)})`;
}
