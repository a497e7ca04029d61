// Presets: rules and meta-tools for a well-known MCP server. The operator's rules come first, the operator's meta-tools override.
import * as z from 'zod';
import type { MetaToolConfig } from '../mcp/meta-tools.ts';
import type { McpRuleConfig } from './rule.ts';

/** Rules, meta-tools and names of a server. */
export interface McpPreset {
  /** In the form of the file; every name begins with that of the preset and a colon. */
  readonly rules: readonly McpRuleConfig[];
  readonly metaTools: Readonly<Record<string, MetaToolConfig>>;
  /** All names that the server has; undefined where they are not known. */
  readonly names: KnownNames | undefined;
}

/** Names of an MCP server. */
export interface KnownNames {
  readonly tools: readonly string[];
  readonly resources: readonly string[];
  readonly resourceTemplates: readonly string[];
  readonly prompts: readonly string[];
}

/** Superset takes an absent format for json, but may come to take it for another: only what says json is no export. */
const asksForJson = "has(args.request) && has(args.request.format) && args.request.format == 'json'";

/** Superset 6.1.0, as in deploy/superset/superset-6.1.0.catalog.json. With tool search `tools/list` has four of the tools. */
const supersetNames: KnownNames = {
  tools: [
    ...['add_chart_to_existing_dashboard', 'call_tool', 'create_virtual_dataset', 'execute_sql', 'generate_chart'],
    ...['generate_dashboard', 'generate_explore_link', 'get_chart_data', 'get_chart_info', 'get_chart_preview'],
    ...['get_chart_type_schema', 'get_dashboard_info', 'get_database_info', 'get_dataset_info', 'get_instance_info'],
    ...['get_schema', 'health_check', 'list_charts', 'list_dashboards', 'list_databases', 'list_datasets'],
    ...['open_sql_lab_with_context', 'save_sql_query', 'search_tools', 'update_chart', 'update_chart_preview'],
  ],
  resources: [
    ...['chart://configs', 'instance://metadata', 'superset://schema/all', 'superset://schema/chart'],
    ...['superset://schema/dashboard', 'superset://schema/dataset'],
  ],
  resourceTemplates: [],
  prompts: ['create_chart_guided', 'quickstart'],
};

/**
 * All 24 tools of the catalogue, and nothing by a glob: what later versions and extensions add is denied until a rule names it.
 * The meta-tools are those of FastMCP 3, which Superset turns on by default.
 */
export const superset: McpPreset = {
  names: supersetNames,
  metaTools: {
    call_tool: { name: '/name', arguments: '/arguments' },
    search_tools: { results: '/result' },
  },
  rules: [
    { name: 'superset:open', allow: { tools: ['health_check', 'search_tools'] } },
    {
      name: 'superset:view',
      allow: {
        tools: [
          'get_instance_info',
          'get_schema',
          'list_dashboards',
          'get_dashboard_info',
          'list_charts',
          'get_chart_info',
          'get_chart_type_schema',
          'get_chart_preview',
          'generate_explore_link',
        ],
      },
      require: { scopes: ['dashboards:read'] },
    },
    {
      name: 'superset:chart-rows',
      allow: { tools: ['get_chart_data'], when: asksForJson },
      require: { scopes: ['dashboards:read'] },
    },
    {
      name: 'superset:chart-export',
      allow: { tools: ['get_chart_data'] },
      require: { scopes: ['exports:create'] },
    },
    {
      name: 'superset:edit',
      allow: {
        tools: [
          'generate_dashboard',
          'add_chart_to_existing_dashboard',
          'generate_chart',
          'update_chart',
          'update_chart_preview',
        ],
      },
      require: { scopes: ['dashboards:write'] },
    },
    {
      name: 'superset:queries',
      allow: {
        tools: [
          'list_datasets',
          'get_dataset_info',
          'list_databases',
          'get_database_info',
          'open_sql_lab_with_context',
        ],
      },
      require: { scopes: ['queries:read'] },
    },
    {
      // A virtual dataset and a saved query carry SQL as well.
      name: 'superset:sql',
      allow: { tools: ['execute_sql', 'create_virtual_dataset', 'save_sql_query'] },
      require: { scopes: ['queries:execute'] },
    },
    {
      name: 'superset:resources',
      allow: { resources: ['instance://metadata', 'chart://configs'] },
      require: { scopes: ['dashboards:read'] },
    },
    { name: 'superset:prompts', allow: { prompts: ['quickstart', 'create_chart_guided'] } },
  ],
};

const presets = { superset } satisfies Record<string, McpPreset>;

const presetName = z.literal(Object.keys(presets) as (keyof typeof presets)[]);

export const preset = z
  .union([
    presetName,
    z.strictObject({
      name: presetName.describe('The MCP server that stands behind the route.'),
      rules: z.boolean().default(true).describe('Its default rules stand after those of the route.'),
    }),
  ])
  .transform((value) => (typeof value === 'string' ? { name: value, rules: true } : value));

export type PresetConfig = z.output<typeof preset>;

interface PresetRoute {
  readonly preset?: PresetConfig | undefined;
}

/** The rules and meta-tools that a route's `preset` adds; none without one. */
export function presetOf({ preset }: PresetRoute): McpPreset {
  return preset === undefined ? nothing : presets[preset.name];
}

const nothing: McpPreset = { rules: [], metaTools: {}, names: undefined };

/** All rules of an MCP route in the order in which they are read. */
export function rulesOf(mcp: PresetRoute & { readonly rules: readonly McpRuleConfig[] }): readonly McpRuleConfig[] {
  return mcp.preset?.rules === true ? [...mcp.rules, ...presetOf(mcp).rules] : mcp.rules;
}

type MetaToolConfigs = Readonly<Record<string, MetaToolConfig>>;

/** All meta-tools of an MCP route. */
export function metaToolsOf(mcp: PresetRoute & { readonly metaTools?: MetaToolConfigs | undefined }): MetaToolConfigs {
  return { ...presetOf(mcp).metaTools, ...mcp.metaTools };
}
