// Catalogue of the demo Superset in memory: databases, datasets, charts, dashboards and saved queries.
import { randomUUID } from 'node:crypto';
import { type ChartConfig, chartQuery } from './chart-query.ts';
import type { Database, Dataset } from './dataset.ts';
import { warehouseTables } from './warehouse.ts';

/** A saved chart, with Superset's member names. */
export interface Chart {
  readonly id: number;
  readonly uuid: string;
  readonly slice_name: string;
  readonly viz_type: string;
  readonly datasource_id: number;
  readonly datasource_name: string;
  readonly config: ChartConfig;
  readonly changed_on: string;
}

/** A dashboard, with Superset's member names. */
export interface Dashboard {
  readonly id: number;
  readonly uuid: string;
  readonly dashboard_title: string;
  readonly slug: string | null;
  readonly description: string;
  readonly published: boolean;
  readonly changed_on: string;
  readonly chart_ids: readonly number[];
}

/** A saved query, with Superset's member names. */
export interface SavedQuery {
  readonly id: number;
  readonly label: string;
  readonly sql: string;
  readonly database_id: number;
  readonly description: string | null;
}

/** The collections of the catalogue. */
export interface Catalog {
  readonly databases: readonly Database[];
  readonly datasets: Collection<Dataset>;
  readonly charts: Collection<Chart>;
  readonly dashboards: Collection<Dashboard>;
  readonly savedQueries: Collection<SavedQuery>;
}

interface Named {
  readonly id: number;
  readonly uuid?: string;
  readonly slug?: string | null;
}

/** Items by id. `add` assigns the next id and a UUID; `replace` keeps both. */
export interface Collection<T extends Named> {
  all(): readonly T[];
  /** Finds an item by id, UUID or slug. */
  find(identifier: number | string): T | undefined;
  add(item: Omit<T, 'id' | 'uuid'>): T;
  replace(item: T): void;
}

const seededOn = '2026-01-15T09:00:00Z';

/** Creates a catalogue over the example data set. */
export function createCatalog(): Catalog {
  const datasets = createCollection<Dataset>();
  for (const { name, columns } of warehouseTables()) {
    datasets.add({
      table_name: name,
      schema: 'main',
      database_id: 1,
      database_name: 'examples',
      description: `The example table ${name}`,
      is_virtual: false,
      sql: null,
      columns: columns.map((column) => ({ column_name: column.name, type: column.type })),
      metrics: [{ metric_name: 'count', expression: 'COUNT(*)' }],
    });
  }
  const charts = createCollection<Chart>();
  for (const [name, config] of seedCharts) addChart({ charts, datasets }, 2, name, config, seededOn);
  const dashboards = createCollection<Dashboard>();
  for (const item of seedDashboards) dashboards.add({ ...item, published: true, changed_on: seededOn });
  return {
    databases: [
      {
        id: 1,
        uuid: randomUUID(),
        database_name: 'examples',
        backend: 'sqlite',
        expose_in_sqllab: true,
        allow_dml: false,
      },
    ],
    datasets,
    charts,
    dashboards,
    savedQueries: createCollection<SavedQuery>(),
  };
}

/** Saves a chart. Throws a `ChartError` when its query cannot be built. */
export function addChart(
  catalog: Pick<Catalog, 'charts' | 'datasets'>,
  datasetId: number,
  name: string,
  config: ChartConfig,
  changedOn: string,
): Chart {
  const dataset = catalog.datasets.find(datasetId);
  chartQuery(dataset, config);
  return catalog.charts.add({
    slice_name: name,
    viz_type: vizType(config),
    datasource_id: datasetId,
    datasource_name: dataset?.table_name ?? '',
    config,
    changed_on: changedOn,
  });
}

/** Superset's `viz_type` of a chart. */
export function vizType(config: ChartConfig): string {
  return config.chart_type === 'table' ? 'table' : `echarts_timeseries_${config.kind}`;
}

const revenue = { name: 'revenue', aggregate: 'SUM' } as const;
const seedCharts: readonly (readonly [string, ChartConfig])[] = [
  ['Revenue by month', { chart_type: 'xy', kind: 'line', x: { name: 'order_date', grain: 'month' }, y: [revenue] }],
  ['Revenue by product line', { chart_type: 'xy', kind: 'bar', x: { name: 'product_line' }, y: [revenue] }],
  [
    'Orders by region',
    { chart_type: 'xy', kind: 'bar', x: { name: 'region' }, y: [{ name: 'order_id', aggregate: 'COUNT' }] },
  ],
  [
    'Largest countries',
    {
      chart_type: 'table',
      columns: [{ name: 'country' }, { name: 'quantity', aggregate: 'SUM' }, { name: 'revenue', aggregate: 'SUM' }],
    },
  ],
  ['Revenue by channel', { chart_type: 'xy', kind: 'bar', x: { name: 'channel' }, y: [revenue] }],
];
const seedDashboards = [
  { dashboard_title: 'Sales Overview', slug: 'sales-overview', description: 'Revenue over time', chart_ids: [1, 2, 3] },
  { dashboard_title: 'Regions', slug: 'regions', description: 'Where the orders come from', chart_ids: [3, 4] },
  { dashboard_title: 'Channels', slug: 'channels', description: 'How customers buy', chart_ids: [5] },
];

function createCollection<T extends Named>(): Collection<T> {
  const items = new Map<number, T>();
  return {
    all: () => [...items.values()],
    find(identifier) {
      const text = String(identifier);
      const byId = /^\d{1,9}$/.test(text) ? items.get(Number(text)) : undefined;
      return byId ?? [...items.values()].find((item) => item.uuid === text || item.slug === text);
    },
    add(item) {
      const added = { id: items.size + 1, uuid: randomUUID(), ...item } as unknown as T;
      items.set(added.id, added);
      return added;
    },
    replace: (item) => void items.set(item.id, item),
  };
}
