// Chart tools: list, show, run and edit.
import * as z from 'zod';
import { addChart, type Chart, vizType } from '../catalog.ts';
import { type ChartConfig, ChartError, chartConfigSchema, chartQuery } from '../chart-query.ts';
import { listPage, listRequest } from '../listing.ts';
import type { QueryResult } from '../query-engine.ts';
import { bars, csv, table } from '../table-text.ts';
import { defineTool, found, identifier, type Tool, type ToolContext, ToolFailure } from '../tool.ts';

const previewFormat = z.enum(['ascii', 'table']);
const chartTimeoutMs = 30_000;

export const chartTools: readonly Tool[] = [
  defineTool('list_charts', {
    description: 'Charts, with filters, search, order and pages',
    readOnly: true,
    request: listRequest.prefault({}),
    run: (request, context) =>
      listPage(
        'charts',
        context.catalog.charts.all().map((chart) => summary(chart, context)),
        request,
      ),
  }),
  defineTool('get_chart_info', {
    description: 'One chart with its configuration',
    readOnly: true,
    request: z.object({ identifier }),
    run: (request, context) => {
      const chart = chartOf(context, request.identifier);
      return { ...summary(chart, context), form_data: chart.config };
    },
  }),
  defineTool('get_chart_data', {
    description: 'The rows behind a chart, as json or csv',
    readOnly: true,
    request: z.object({
      identifier,
      format: z.enum(['json', 'csv']).default('json'),
      limit: z.int().min(1).max(10_000).default(100),
    }),
    run: async (request, context) => {
      const chart = chartOf(context, request.identifier);
      await context.notify('info', `Running the query of chart ${chart.id}`);
      const result = await chartRows(chart, request.limit, context);
      const columns = result.columns.map((column) => column.name);
      const facts = {
        chart_id: chart.id,
        chart_name: chart.slice_name,
        row_count: result.rows.length,
        format: request.format,
      };
      if (request.format === 'csv') return { ...facts, csv_data: csv(columns, result.rows) };
      return { ...facts, columns: result.columns, data: result.rows, truncated: result.truncated };
    },
  }),
  defineTool('get_chart_preview', {
    description: 'A chart as text: ascii bars or a table',
    readOnly: true,
    request: z.object({ identifier, format: previewFormat.default('ascii') }),
    run: async (request, context) => {
      const chart = chartOf(context, request.identifier);
      return { chart_id: chart.id, chart_name: chart.slice_name, ...(await preview(chart, request.format, context)) };
    },
  }),
  defineTool('generate_chart', {
    description: 'A chart from a configuration: a preview, or saved with save_chart',
    readOnly: false,
    request: z.object({
      dataset_id: identifier,
      config: chartConfigSchema,
      chart_name: z.string().min(1).max(255).optional(),
      save_chart: z.boolean().default(false),
    }),
    run: async (request, context) => {
      const { catalog } = context;
      const dataset = found(catalog.datasets.find(request.dataset_id), 'Dataset', request.dataset_id);
      const shown = await preview({ datasource_id: dataset.id, config: request.config }, 'table', context);
      if (!request.save_chart) return { chart: null, previews: { table: shown }, saved: false };
      const name = request.chart_name ?? `${request.config.chart_type} of ${dataset.table_name}`;
      const changedOn = new Date(context.now()).toISOString();
      const chart = addChart(catalog, dataset.id, name, request.config, changedOn);
      return { chart: summary(chart, context), previews: { table: shown }, saved: true };
    },
  }),
  defineTool('update_chart', {
    description: "Changes a saved chart's name or configuration",
    readOnly: false,
    request: z.object({
      identifier,
      config: chartConfigSchema.optional(),
      chart_name: z.string().min(1).max(255).optional(),
    }),
    run: async (request, context) => {
      const chart = chartOf(context, request.identifier);
      const changed: Chart = {
        ...chart,
        slice_name: request.chart_name ?? chart.slice_name,
        config: request.config ?? chart.config,
        viz_type: vizType(request.config ?? chart.config),
        changed_on: new Date(context.now()).toISOString(),
      };
      const shown = await preview(changed, 'table', context);
      context.catalog.charts.replace(changed);
      return { chart: summary(changed, context), previews: { table: shown } };
    },
  }),
  defineTool('generate_explore_link', {
    description: 'A link that opens a chart configuration in Explore',
    readOnly: true,
    request: z.object({ dataset_id: identifier, config: chartConfigSchema }),
    run: ({ dataset_id, config }, { catalog, baseUrl }) => {
      const dataset = found(catalog.datasets.find(dataset_id), 'Dataset', dataset_id);
      built(() => chartQuery(dataset, config));
      const formData = encodeURIComponent(JSON.stringify({ datasource: `${dataset.id}__table`, ...config }));
      return { url: `${baseUrl}/explore/?form_data=${formData}` };
    },
  }),
];

/** Reads the rows of a chart, for the tools and the REST export. */
export async function chartRows(
  chart: { readonly datasource_id: number; readonly config: ChartConfig },
  limit: number,
  { catalog, engine }: Pick<ToolContext, 'catalog' | 'engine'>,
): Promise<QueryResult> {
  const sql = built(() => chartQuery(catalog.datasets.find(chart.datasource_id), chart.config));
  return engine.run({ sql, limit, timeoutMs: chartTimeoutMs });
}

async function preview(
  chart: { readonly datasource_id: number; readonly config: ChartConfig },
  format: z.output<typeof previewFormat>,
  context: ToolContext,
): Promise<object> {
  const result = await chartRows(chart, 50, context);
  const columns = result.columns.map((column) => column.name);
  const render = format === 'ascii' ? bars : table;
  return { format, content: render(columns, result.rows), row_count: result.rows.length };
}

function built(build: () => string): string {
  try {
    return build();
  } catch (error) {
    throw error instanceof ChartError ? new ToolFailure(error.message) : error;
  }
}

function chartOf({ catalog }: ToolContext, id: number | string): Chart {
  return found(catalog.charts.find(id), 'Chart', id);
}

function summary(chart: Chart, { baseUrl }: ToolContext): object {
  const { config: _, ...rest } = chart;
  return { ...rest, url: `${baseUrl}/explore/?slice_id=${chart.id}` };
}
