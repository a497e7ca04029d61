// Known names of the MCP server behind a route: those of its preset and of its recorded catalogue.
import { parseCatalog } from '../../mcp/catalog/catalog.ts';
import type { NamedFiles } from '../../named-files.ts';
import { type KnownNames, type PresetConfig, presetOf } from '../presets.ts';

interface McpRoute {
  readonly mcp?:
    | { readonly preset?: PresetConfig | undefined; readonly catalog?: { readonly file: string } | undefined }
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
