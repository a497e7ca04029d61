// Dashboard tools: list, show and edit.
import * as z from 'zod';
import type { Catalog, Dashboard } from '../catalog.ts';
import { listPage, listRequest } from '../listing.ts';
import { defineTool, found, identifier, type Tool, type ToolContext } from '../tool.ts';

export const dashboardTools: readonly Tool[] = [
  defineTool('list_dashboards', {
    description: 'Dashboards, with filters, search, order and pages',
    readOnly: true,
    request: listRequest.prefault({}),
    run: async (request, context) => {
      await context.notify('info', `Listing dashboards: page=${request.page}, page_size=${request.page_size}`);
      const { catalog } = context;
      return listPage(
        'dashboards',
        catalog.dashboards.all().map((item) => summary(item, context)),
        request,
      );
    },
  }),
  defineTool('get_dashboard_info', {
    description: 'One dashboard with its charts',
    readOnly: true,
    request: z.object({ identifier }),
    run: (request, context) => {
      const { dashboards, charts } = context.catalog;
      const dashboard = found(dashboards.find(request.identifier), 'Dashboard', request.identifier);
      const shown = dashboard.chart_ids.flatMap((id) => charts.find(id) ?? []);
      return {
        ...summary(dashboard, context),
        charts: shown.map(({ id, slice_name, viz_type, datasource_name }) => ({
          id,
          slice_name,
          viz_type,
          datasource_name,
          url: `${context.baseUrl}/explore/?slice_id=${id}`,
        })),
      };
    },
  }),
  defineTool('generate_dashboard', {
    description: 'A new dashboard from charts',
    readOnly: false,
    request: z.object({
      chart_ids: z.array(z.int()).min(1).max(50),
      dashboard_title: z.string().min(1).max(250).optional(),
      description: z.string().max(2000).default(''),
      published: z.boolean().default(false),
    }),
    run: (request, context) => {
      const titles = request.chart_ids.map((id) => chartOf(context.catalog, id).slice_name);
      const dashboard = context.catalog.dashboards.add({
        dashboard_title: request.dashboard_title ?? titles.slice(0, 3).join(', '),
        slug: null,
        description: request.description,
        published: request.published,
        chart_ids: [...new Set(request.chart_ids)],
        changed_on: new Date(context.now()).toISOString(),
      });
      return { dashboard: summary(dashboard, context), error: null };
    },
  }),
  defineTool('add_chart_to_existing_dashboard', {
    description: 'Adds a chart to a dashboard',
    readOnly: false,
    request: z.object({ dashboard_id: z.int(), chart_id: z.int() }),
    run: ({ dashboard_id, chart_id }, context) => {
      const { catalog } = context;
      const dashboard = found(catalog.dashboards.find(dashboard_id), 'Dashboard', dashboard_id);
      const chart = chartOf(catalog, chart_id);
      const changed: Dashboard = {
        ...dashboard,
        chart_ids: [...new Set([...dashboard.chart_ids, chart.id])],
        changed_on: new Date(context.now()).toISOString(),
      };
      catalog.dashboards.replace(changed);
      return { dashboard: summary(changed, context), error: null };
    },
  }),
];

/** The summary of a dashboard in lists and REST answers. */
export function summary(dashboard: Dashboard, { baseUrl }: Pick<ToolContext, 'baseUrl'>): object {
  const { chart_ids, ...rest } = dashboard;
  return {
    ...rest,
    chart_count: chart_ids.length,
    url: `${baseUrl}/superset/dashboard/${dashboard.slug ?? dashboard.id}/`,
  };
}

function chartOf(catalog: Catalog, id: number) {
  return found(catalog.charts.find(id), 'Chart', id);
}
