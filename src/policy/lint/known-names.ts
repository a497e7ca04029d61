// Known names and input schemas of the MCP server behind a route, by its preset and its recorded catalogue.
import { parseCatalog } from '../../mcp/catalog/catalog.ts';
import { type Definition, isMap } from '../../mcp/catalog/definition.ts';
import type { MetaToolConfig } from '../../mcp/meta-tools.ts';
import type { NamedFiles } from '../../named-files.ts';
import { type KnownNames, metaToolsOf, type PresetConfig, presetOf } from '../presets.ts';

interface McpRoute {
  readonly mcp?:
    | {
        readonly preset?: PresetConfig | undefined;
        readonly catalog?: { readonly file: string } | undefined;
        readonly metaTools?: Readonly<Record<string, MetaToolConfig>> | undefined;
      }
    | undefined;
}

/** All names that the server has. Undefined where they are not known, and where the catalogue cannot be read, which is reported elsewhere. */
export function knownNamesOf({ mcp }: McpRoute, files: NamedFiles): KnownNames | undefined {
  const preset = mcp && presetOf(mcp).names;
  if (mcp?.catalog === undefined) return preset;
  try {
    const catalog = files.parse(mcp.catalog.file, parseCatalog);
    const union = (list: keyof KnownNames) => [...new Set([...(preset?.[list] ?? []), ...catalog[list].keys()])].sort();
    return {
      tools: union('tools'),
      resources: union('resources'),
      resourceTemplates: union('resourceTemplates'),
      prompts: union('prompts'),
    };
  } catch {
    return undefined;
  }
}

/** The input schemas of the tools of the recorded catalogue. None for meta-tools: conditions see the arguments of the call inside. */
export function inputSchemasOf({ mcp }: McpRoute, files: NamedFiles): ReadonlyMap<string, Definition> {
  const schemas = new Map<string, Definition>();
  if (mcp?.catalog === undefined) return schemas;
  try {
    for (const [name, { listed, found }] of files.parse(mcp.catalog.file, parseCatalog).tools) {
      const schema = (listed ?? found)?.definition.inputSchema;
      if (isMap(schema) && !Object.hasOwn(metaToolsOf(mcp), name)) schemas.set(name, schema);
    }
  } catch {
    // A catalogue that cannot be read is reported elsewhere.
  }
  return schemas;
}
