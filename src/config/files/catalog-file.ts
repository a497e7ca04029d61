// Catalogue files (`mcp.catalog.file`): read with the configuration, with problems placed in them.
import { join, relative } from 'node:path';
import { catalogFaults, parseCatalog } from '../../mcp/catalog/catalog.ts';
import type { NamedFiles } from '../../named-files.ts';
import type { Draft, Findings } from '../checks/context.ts';
import { ConfigError, type Problem } from '../problem.ts';
import { parseLocatedYaml } from '../yaml.ts';

/** Options of `checkCatalogFiles`. */
export interface CatalogFilesOptions {
  /** The folder of the configuration, absolute, and as the operator named it. */
  readonly folder: string;
  readonly named: string;
  readonly files: NamedFiles;
}

/** Checks each catalogue that could be read as a file. Problems go to `findings`. */
export function checkCatalogFiles(
  draft: Draft,
  { folder, named, files }: CatalogFilesOptions,
  findings: Findings,
): void {
  const paths = draft.routes?.flatMap(({ mcp }) => mcp?.catalog?.file ?? []) ?? [];
  for (const path of new Set(paths)) {
    const content = files.get(path);
    if (content === undefined) continue;
    try {
      files.parse(path, parseCatalog);
    } catch (error) {
      findings.problems.push(...problemsOf(join(named, relative(folder, path)), content, error as Error));
    }
  }
}

/** JSON is YAML, whose reader knows the places. */
function problemsOf(file: string, content: Buffer, { message }: Error): Problem[] {
  try {
    const document = parseLocatedYaml(file, content);
    const faults = catalogFaults(document.value).map((fault) => document.problem(fault.path, fault.message));
    const problems = [...document.problems, ...faults];
    return problems.length > 0 ? problems : [document.problem([], `is no catalogue: ${message}`)];
  } catch (error) {
    if (error instanceof ConfigError) return [...error.problems];
    throw error;
  }
}
