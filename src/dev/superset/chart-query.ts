// SQL of a chart's configuration. Names are checked against the dataset, values are quoted.
import * as z from 'zod';
import type { Dataset } from './dataset.ts';

const aggregate = z.enum(['SUM', 'COUNT', 'AVG', 'MIN', 'MAX', 'COUNT_DISTINCT']);
const columnRef = z.object({
  name: z.string().min(1).max(255),
  label: z.string().min(1).max(255).optional(),
  aggregate: aggregate.optional(),
});
const filter = z.object({
  column: z.string(),
  op: z.enum(['=', '!=', '>', '>=', '<', '<=', 'LIKE', 'IN']),
  value: z.union([z.string(), z.number(), z.array(z.union([z.string(), z.number()])).min(1)]),
});

/** Chart configurations of the demo, in the shape of Superset's `config`. */
export const chartConfigSchema = z.discriminatedUnion('chart_type', [
  z.object({
    chart_type: z.literal('xy'),
    kind: z.enum(['line', 'bar', 'area', 'scatter']).default('line'),
    x: z.object({ name: z.string().min(1).max(255), grain: z.enum(['day', 'month', 'year']).optional() }),
    y: z.array(columnRef).min(1).max(10),
    filters: z.array(filter).optional(),
  }),
  z.object({
    chart_type: z.literal('table'),
    columns: z.array(columnRef).min(1).max(50),
    filters: z.array(filter).optional(),
  }),
]);
export type ChartConfig = z.output<typeof chartConfigSchema>;
type ColumnRef = z.output<typeof columnRef>;

/** A configuration that does not fit the dataset. The message is meant for the caller. */
export class ChartError extends Error {
  override readonly name = 'ChartError';
}

const grainLength = { day: 10, month: 7, year: 4 } as const;

/** The SELECT statement of a chart, without a limit. Throws a `ChartError`. */
export function chartQuery(dataset: Dataset | undefined, config: ChartConfig): string {
  if (dataset === undefined) throw new ChartError('Dataset not found');
  const source = dataset.sql === null ? quoteName(dataset.table_name) : `(${dataset.sql.replace(/;\s*$/, '')}\n)`;
  const column = (name: string): string => {
    const known = dataset.columns.some((item) => item.column_name === name);
    if (!known) throw new ChartError(`Column "${name}" is not in the dataset ${dataset.table_name}`);
    return quoteName(name);
  };
  const where = (config.filters ?? []).map(({ column: name, op, value }) => condition(column(name), op, value));
  const clause = where.length === 0 ? '' : ` WHERE ${where.join(' AND ')}`;
  if (config.chart_type === 'xy') {
    const { x, y } = config;
    const axis = x.grain === undefined ? column(x.name) : `substr(${column(x.name)}, 1, ${grainLength[x.grain]})`;
    const measures = y.map((item) => selected(column(item.name), { aggregate: 'SUM', ...item }));
    return `SELECT ${axis} AS ${quoteName(x.name)}, ${measures.join(', ')} FROM ${source}${clause} GROUP BY 1 ORDER BY 1`;
  }
  const plain = config.columns.flatMap((item, index) => (item.aggregate === undefined ? [index + 1] : []));
  const columns = config.columns.map((item) => selected(column(item.name), item));
  const grouped = plain.length > 0 && plain.length < columns.length;
  const tail = grouped ? ` GROUP BY ${plain.join(', ')} ORDER BY ${columns.length} DESC` : '';
  return `SELECT ${columns.join(', ')} FROM ${source}${clause}${tail}`;
}

function selected(column: string, { name, label, aggregate: by }: ColumnRef): string {
  if (by === undefined) return label === undefined ? column : `${column} AS ${quoteName(label)}`;
  const expression = by === 'COUNT_DISTINCT' ? `COUNT(DISTINCT ${column})` : `${by}(${column})`;
  return `${expression} AS ${quoteName(label ?? `${by}(${name})`)}`;
}

function condition(column: string, op: string, value: string | number | readonly (string | number)[]): string {
  if (op === 'IN') return `${column} IN (${(Array.isArray(value) ? value : [value]).map(literal).join(', ')})`;
  if (typeof value === 'object') throw new ChartError(`The operator ${op} takes one value`);
  return `${column} ${op} ${literal(value)}`;
}

function literal(value: string | number): string {
  return typeof value === 'number' ? String(value) : `'${value.replaceAll("'", "''")}'`;
}

function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
