// Presets: rules and meta-tools for a well-known MCP server. The operator's rules stand before them, the operator's meta-tools over them.
import type { McpConfig, McpRuleConfig, PresetName } from '../config/schema/config.ts';
import type { MetaToolConfig } from '../mcp/meta-tools.ts';
import { superset } from './superset.ts';

export interface McpPreset {
  /** In the form of the file; every name begins with that of the preset and a colon. */
  readonly rules: readonly McpRuleConfig[];
  readonly metaTools: Readonly<Record<string, MetaToolConfig>>;
}

const presets: Readonly<Record<PresetName, McpPreset>> = { superset };

/** What a route's `preset` adds to its other keys; nothing without one. */
export function presetOf({ preset }: Pick<McpConfig, 'preset'>): McpPreset {
  return preset === undefined ? nothing : presets[preset.name];
}

const nothing: McpPreset = { rules: [], metaTools: {} };

/** All rules of an MCP route in the order in which they are read. */
export function rulesOf(mcp: Pick<McpConfig, 'preset' | 'rules'>): readonly McpRuleConfig[] {
  return mcp.preset?.rules === true ? [...mcp.rules, ...presetOf(mcp).rules] : mcp.rules;
}

/** All meta-tools of an MCP route. */
export function metaToolsOf(mcp: Pick<McpConfig, 'preset' | 'metaTools'>): Readonly<Record<string, MetaToolConfig>> {
  return { ...presetOf(mcp).metaTools, ...mcp.metaTools };
}
