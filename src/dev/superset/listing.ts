// Lists of the list_* tools: filters, search, order, pages and choice of columns.
import * as z from 'zod';

const operators = ['eq', 'ne', 'sw', 'ew', 'in', 'nin', 'gt', 'gte', 'lt', 'lte', 'like', 'ilike'] as const;
const scalar = z.union([z.string(), z.number(), z.boolean()]);

export const listRequest = z.object({
  filters: z
    .array(z.object({ col: z.string(), opr: z.enum(operators), value: z.union([scalar, z.array(scalar)]) }))
    .default([]),
  search: z.string().optional(),
  select_columns: z.array(z.string()).default([]),
  order_column: z.string().optional(),
  order_direction: z.enum(['asc', 'desc']).default('asc'),
  page: z.int().min(1).default(1),
  page_size: z.int().min(1).max(100).default(10),
});
export type ListRequest = z.output<typeof listRequest>;
export const listOperators: readonly string[] = operators;

/** One page under the plural `name`, as Superset writes it. Throws when a filter or order names an unknown column. */
export function listPage(name: string, items: readonly object[], request: ListRequest): Record<string, unknown> {
  const records = items.map((item) => item as Readonly<Record<string, unknown>>);
  const known = new Set(records.flatMap((record) => Object.keys(record)));
  const asked = [
    ...request.filters.map((filter) => filter.col),
    ...(request.order_column ? [request.order_column] : []),
  ];
  const unknown = records.length === 0 ? undefined : asked.find((column) => !known.has(column));
  if (unknown !== undefined) throw new Error(`Unknown column "${unknown}"`);
  const found = records.filter(
    (record) =>
      request.filters.every(({ col, opr, value }) => matches(record[col], opr, value)) &&
      contains(record, request.search),
  );
  if (request.order_column !== undefined) {
    const column = request.order_column;
    const sign = request.order_direction === 'asc' ? 1 : -1;
    found.sort((a, b) => sign * compare(a[column], b[column]));
  }
  const start = (request.page - 1) * request.page_size;
  const page = found.slice(start, start + request.page_size).map((record) => chosen(record, request.select_columns));
  const pages = Math.ceil(found.length / request.page_size);
  return {
    [name]: page,
    count: page.length,
    total_count: found.length,
    page: request.page,
    page_size: request.page_size,
    total_pages: pages,
    has_next: request.page < pages,
    has_previous: request.page > 1,
  };
}

function chosen(record: Readonly<Record<string, unknown>>, columns: readonly string[]): object {
  if (columns.length === 0) return record;
  return Object.fromEntries(Object.entries(record).filter(([name]) => name === 'id' || columns.includes(name)));
}

function contains(record: Readonly<Record<string, unknown>>, search: string | undefined): boolean {
  if (search === undefined || search === '') return true;
  const wanted = search.toLowerCase();
  return Object.values(record).some((value) => typeof value === 'string' && value.toLowerCase().includes(wanted));
}

function matches(actual: unknown, operator: (typeof operators)[number], expected: unknown): boolean {
  const text = String(actual).toLowerCase();
  const wanted = String(expected).toLowerCase();
  const list = Array.isArray(expected) ? expected : [expected];
  switch (operator) {
    case 'eq':
      return actual === expected;
    case 'ne':
      return actual !== expected;
    case 'sw':
      return text.startsWith(wanted);
    case 'ew':
      return text.endsWith(wanted);
    case 'in':
      return list.includes(actual);
    case 'nin':
      return !list.includes(actual);
    case 'gt':
      return compare(actual, expected) > 0;
    case 'gte':
      return compare(actual, expected) >= 0;
    case 'lt':
      return compare(actual, expected) < 0;
    case 'lte':
      return compare(actual, expected) <= 0;
    case 'like':
    case 'ilike':
      return text.includes(wanted.replaceAll('%', ''));
    default:
      return operator satisfies never;
  }
}

function compare(a: unknown, b: unknown): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return String(a).localeCompare(String(b));
}
