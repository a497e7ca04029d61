// Which keys name files that are read with the configuration, and the one place where their paths become absolute.
import { resolve } from 'node:path';
import type { FileReader } from './files.ts';
import type { Path } from './problem.ts';
import { mapStrings, occurrences } from './tree.ts';

/** Read with the configuration, watched, and part of its hash. */
const readFiles = [
  'server.tls.certFile',
  'server.tls.keyFile',
  'server.tls.clientCaFile',
  'server.tls.clientCrlFile',
  'server.clientCertificateHeader.clientCaFile',
  'server.clientCertificateHeader.clientCrlFile',
  'authenticators.*.caFile',
  'authenticators.*.keysFile',
  'authenticators.*.clientKeyFile',
  'upstreams.*.tls.caFile',
  'upstreams.*.tls.certFile',
  'upstreams.*.tls.keyFile',
  'upstreams.*.identity.assertion.keyFiles.*',
  'upstreams.*.identity.exchange.clientKeyFile',
  'routes.*.mcp.sessionKeyFiles.*',
];
/** Written later, by the room that owns them. */
const writtenFiles = ['audit.sinks.*.path'];
/** Read and watched apart: it changes more often than the configuration, and is no part of its hash. */
const separateFiles = ['revocation.file'];

/** A copy with absolute paths; relative ones start in `folder`. */
export function withAbsolutePaths(tree: unknown, folder: string): unknown {
  const paths = new Set(
    [...readFiles, ...writtenFiles, ...separateFiles].flatMap((pattern) => placesOf(tree, pattern)),
  );
  return mapStrings(tree, (text, path) =>
    text !== '' && paths.has(JSON.stringify(path)) ? resolve(folder, text) : text,
  );
}

/** Reads every named file. `report` gets the path in the configuration and why it cannot be read. */
export async function readNamedFiles(
  tree: unknown,
  reader: FileReader,
  report: (path: Path, reason: string) => void,
): Promise<void> {
  for (const pattern of readFiles) {
    for (const { path, value } of occurrences(tree, pattern)) {
      if (typeof value !== 'string' || value === '') continue;
      await reader.read(value).catch((error: Error) => report(path, `cannot read the file: ${error.message}`));
    }
  }
}

function placesOf(tree: unknown, pattern: string): string[] {
  return occurrences(tree, pattern).map(({ path }) => JSON.stringify(path));
}
