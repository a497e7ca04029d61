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
  const bounds = checks.map((check) => [
    check.of,
    check.measured.toFixed(2),
    String(check.atMost),
    isMet(check) ? 'met' : '**NOT met**',
  ]);
  const tables = [tableOf(header, rows), tableOf(['bound', 'measured', 'at most', ''], bounds)];
  console.log([`## ${part}`, told, ...tables].join('\n\n'), '\n');
}

export function isMet({ measured, atMost }: Check): boolean {
  return measured <= atMost;
}

/** In Markdown; empty without rows. */
export function tableOf(header: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return '';
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(header), `|${'---|'.repeat(header.length)}`, ...rows.map(line)].join('\n');
}

/** The value below which this share of them lies; NaN of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Growth from one value to the next, by least squares. */
export function slopeOf(values: readonly number[]): number {
  const [middle, mean] = [(values.length - 1) / 2, values.reduce((sum, value) => sum + value, 0) / values.length];
  const sum = (of: (value: number, index: number) => number) =>
    values.reduce((all, value, at) => all + of(value, at), 0);
  return sum((value, at) => (at - middle) * (value - mean)) / sum((_, at) => (at - middle) ** 2);
}

/** The median, and the quartiles around it. */
export function spread(values: readonly number[], digits: number): string {
  const [low, high] = [quantile(values, 0.25), quantile(values, 0.75)];
  return `${median(values).toFixed(digits)} (${low.toFixed(digits)}–${high.toFixed(digits)})`;
}
