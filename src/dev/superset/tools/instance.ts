// Instance tools: health, counts with the current caller, and columns of the lists.
import * as z from 'zod';
import { listOperators } from '../listing.ts';
import { defineTool, type Tool, type ToolContext } from '../tool.ts';

const models = ['dashboard', 'chart', 'dataset', 'database'] as const;

export const instanceTools: readonly Tool[] = [
  defineTool('health_check', {
    description: 'Whether the service is alive, and its version',
    readOnly: true,
    request: z.object({}).default({}),
    run: (_request, { now }) => ({
      status: 'healthy',
      service: 'Demo Superset MCP Service',
      version: '6.1.0-demo',
      timestamp: new Date(now()).toISOString(),
    }),
  }),
  defineTool('get_instance_info', {
    description: 'Counts of dashboards, charts and datasets, and the current user as the gateway handed it over',
    readOnly: true,
    request: z.object({}).default({}),
    run: (_request, context) => instanceFacts(context),
  }),
  defineTool('get_schema', {
    description: 'Columns that a list can be filtered, ordered and searched by',
    readOnly: true,
    request: z.object({ model_type: z.enum(models) }),
    run: ({ model_type }, { catalog }) => {
      const items: Record<(typeof models)[number], readonly object[]> = {
        dashboard: catalog.dashboards.all(),
        chart: catalog.charts.all(),
        dataset: catalog.datasets.all(),
        database: catalog.databases,
      };
      const columns = Object.keys(items[model_type][0] ?? {});
      return {
        model_type,
        select_columns: columns,
        filter_columns: Object.fromEntries(columns.map((column) => [column, listOperators])),
        sortable_columns: columns,
        default_page_size: 10,
        max_page_size: 100,
      };
    },
  }),
];

/** Counts and the current caller. Also the content of the resource `instance://metadata`. */
export function instanceFacts({ catalog, caller, now }: Pick<ToolContext, 'catalog' | 'caller' | 'now'>): object {
  return {
    instance_summary: {
      total_dashboards: catalog.dashboards.all().length,
      total_charts: catalog.charts.all().length,
      total_datasets: catalog.datasets.all().length,
      total_databases: catalog.databases.length,
      total_saved_queries: catalog.savedQueries.all().length,
    },
    current_user: {
      username: caller.subject ?? null,
      client_id: caller.clientId ?? null,
      scopes: caller.scopes?.split(' ') ?? [],
      authenticated_with: caller.method ?? null,
      issuer: caller.issuer ?? null,
    },
    timestamp: new Date(now()).toISOString(),
  };
}
