// SQL tools: databases, datasets, queries and saved queries.
import * as z from 'zod';
import type { Catalog } from '../catalog.ts';
import type { Database, Dataset } from '../dataset.ts';
import { listPage, listRequest } from '../listing.ts';
import { refusalOfSql } from '../read-only-sql.ts';
import { defineTool, found, identifier, type Tool, type ToolContext, ToolFailure } from '../tool.ts';

const sqlText = z.string().trim().min(1).max(100_000);
const defaultLimit = 1000;

export const sqlTools: readonly Tool[] = [
  defineTool('list_databases', {
    description: 'Database connections',
    readOnly: true,
    request: listRequest.prefault({}),
    run: (request, { catalog }) => listPage('databases', catalog.databases, request),
  }),
  defineTool('get_database_info', {
    description: 'One database connection with its tables',
    readOnly: true,
    request: z.object({ identifier }),
    run: (request, { catalog }) => {
      const database = databaseOf(catalog, request.identifier);
      const tables = catalog.datasets.all().filter((dataset) => !dataset.is_virtual);
      return { ...database, tables: tables.map((dataset) => dataset.table_name) };
    },
  }),
  defineTool('list_datasets', {
    description: 'Datasets, with filters, search, order and pages',
    readOnly: true,
    request: listRequest.prefault({}),
    run: (request, { catalog }) => listPage('datasets', catalog.datasets.all().map(datasetSummary), request),
  }),
  defineTool('get_dataset_info', {
    description: 'One dataset with its columns and metrics',
    readOnly: true,
    request: z.object({ identifier }),
    run: (request, { catalog }) => found(catalog.datasets.find(request.identifier), 'Dataset', request.identifier),
  }),
  defineTool('create_virtual_dataset', {
    description: 'Saves a SELECT statement as a dataset',
    readOnly: false,
    request: z.object({
      database_id: z.int(),
      sql: sqlText,
      dataset_name: z.string().min(1).max(250),
      description: z.string().max(2000).default(''),
    }),
    run: async (request, context) => {
      const database = databaseOf(context.catalog, request.database_id);
      const { columns } = await context.engine.run({ sql: request.sql, limit: 1, timeoutMs: 30_000 });
      const dataset = context.catalog.datasets.add({
        table_name: request.dataset_name,
        schema: 'main',
        database_id: database.id,
        database_name: database.database_name,
        description: request.description,
        is_virtual: true,
        sql: request.sql,
        columns: columns.map((column) => ({ column_name: column.name, type: column.type })),
        metrics: [{ metric_name: 'count', expression: 'COUNT(*)' }],
      });
      return { ...datasetSummary(dataset), columns: dataset.columns };
    },
  }),
  defineTool('execute_sql', {
    description: 'Runs one SELECT statement against a database. Read-only: everything else is refused.',
    readOnly: false,
    request: z.object({
      database_id: z.int(),
      sql: sqlText,
      schema: z.string().optional(),
      limit: z.int().min(1).max(10_000).optional(),
      timeout: z.int().min(1).max(300).default(30).describe('seconds'),
      dry_run: z.boolean().default(false),
    }),
    run: executeSql,
  }),
  defineTool('save_sql_query', {
    description: 'Saves a query under a name',
    readOnly: false,
    request: z.object({
      database_id: z.int(),
      label: z.string().trim().min(1).max(256),
      sql: sqlText,
      description: z.string().max(2000).optional(),
    }),
    run: (request, { catalog, baseUrl }) => {
      const database = databaseOf(catalog, request.database_id);
      const saved = catalog.savedQueries.add({
        label: request.label,
        sql: request.sql,
        database_id: database.id,
        description: request.description ?? null,
      });
      return { ...saved, url: `${baseUrl}/sqllab?savedQueryId=${saved.id}` };
    },
  }),
  defineTool('open_sql_lab_with_context', {
    description: 'A link that opens SQL Lab with a query',
    readOnly: true,
    request: z.object({
      database_connection_id: z.int(),
      sql: sqlText.optional(),
      title: z.string().max(256).optional(),
      dataset_in_context: z.string().optional(),
    }),
    run: ({ database_connection_id, sql, title }, { catalog, baseUrl }) => {
      const database = databaseOf(catalog, database_connection_id);
      const query = new URLSearchParams({ dbid: String(database.id), ...(sql && { sql }), ...(title && { title }) });
      return { url: `${baseUrl}/sqllab?${query}`, database_id: database.id, title: title ?? null, error: null };
    },
  }),
];

interface SqlRequest {
  readonly database_id: number;
  readonly sql: string;
  readonly limit?: number | undefined;
  readonly timeout: number;
  readonly dry_run: boolean;
}

async function executeSql(request: SqlRequest, context: ToolContext): Promise<object> {
  const database = databaseOf(context.catalog, request.database_id);
  await context.notify('info', `Starting SQL execution on ${database.database_name}: timeout=${request.timeout}s`);
  await context.progress(0, 2);
  const refusal = refusalOfSql(request.sql);
  if (refusal !== undefined) throw new ToolFailure(`SQL refused: ${refusal}`);
  if (request.dry_run) return { success: true, dry_run: true, executed_sql: request.sql };
  const started = context.now();
  const limit = request.limit ?? defaultLimit;
  const result = await context.engine.run({ sql: request.sql, limit, timeoutMs: request.timeout * 1000 });
  await context.progress(1, 2);
  await context.notify('info', `SQL execution completed: rows_returned=${result.rows.length}`);
  await context.progress(2, 2);
  return {
    success: true,
    rows: result.rows,
    columns: result.columns,
    row_count: result.rows.length,
    truncated: result.truncated,
    execution_time: (context.now() - started) / 1000,
    error: null,
  };
}

function databaseOf(catalog: Catalog, id: number | string): Database {
  const wanted = String(id);
  return found(
    catalog.databases.find((item) => String(item.id) === wanted || item.uuid === wanted),
    'Database',
    id,
  );
}

function datasetSummary(dataset: Dataset): object {
  const { columns, metrics, sql: _, ...rest } = dataset;
  return { ...rest, column_count: columns.length, metric_count: metrics.length };
}
