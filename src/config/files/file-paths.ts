// Paths of files in the configuration: the schema says which values are such.
import { resolve } from 'node:path';
import * as z from 'zod';
import { fileSchema } from '../schema/config.ts';
import type { Path } from '../schema/reporter.ts';
import { schemasAt } from '../schema-paths.ts';
import { mapStrings } from '../tree.ts';
import type { FileReader } from './files.ts';

/** A copy with absolute paths; relative ones start in `folder`. */
export function withAbsolutePaths(tree: unknown, folder: string): unknown {
  return mapStrings(tree, (text, path) => (usesOf(path).length > 0 && text !== '' ? resolve(folder, text) : text));
}

/** Reads every file that is read with the configuration. `report` gets the path in the configuration, the file, and why it cannot be read. */
export async function readNamedFiles(
  tree: unknown,
  reader: FileReader,
  report: (path: Path, file: string, reason: string) => Promise<void>,
): Promise<void> {
  const named: { readonly path: Path; readonly file: string }[] = [];
  mapStrings(tree, (file, path) => {
    if (usesOf(path).includes('read') && file !== '') named.push({ path, file });
    return file;
  });
  for (const { path, file } of named) {
    await reader.read(file).catch((error: Error) => report(path, file, `cannot read the file: ${error.message}`));
  }
}

function usesOf(path: Path): unknown[] {
  return schemasAt(fileSchema, path).flatMap((schema) => z.globalRegistry.get(schema)?.fileUse ?? []);
}
