// Reads the files that a configuration names: once each, regular files only, bounded.
import { constants } from 'node:fs';
import { open, realpath, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { createNamedFiles, type NamedFiles } from '../named-files.ts';
import type { Path } from './schema/reporter.ts';
import { mapStrings, occurrences } from './tree.ts';

const maxFileBytes = 16 * 1024 * 1024;

export interface FileReader {
  /** The content by absolute path. Throws an Error with a public message. */
  read(path: string): Promise<Buffer>;
  /** Everything read so far. */
  readonly files: NamedFiles;
}

/** Stamps by absolute path. */
export type Stamps = ReadonlyMap<string, string>;

/**
 * Each path is read once, however often it is named: all of a snapshot sees the same bytes. `stamps` takes the stamp of each file before it is
 * read, also of one that cannot be.
 */
export function createFileReader(stamps: Map<string, string> = new Map()): FileReader {
  const files = new Map<string, Buffer>();
  const reads = new Map<string, Promise<Buffer>>();
  return {
    files: createNamedFiles(files),
    read(path) {
      let pending = reads.get(path);
      if (pending === undefined) {
        pending = readOnce(path);
        reads.set(path, pending);
      }
      return pending;
    },
  };

  async function readOnce(path: string): Promise<Buffer> {
    stamps.set(path, await stampOf(path));
    const content = await readRegularFile(path, maxFileBytes);
    files.set(path, content);
    return content;
  }
}

/** Differs whenever the file behind a path is another one or was written to. A file that cannot be seen has a stamp as well. */
export async function stampOf(path: string): Promise<string> {
  try {
    const target = await realpath(path);
    const { dev, ino, size, mtimeNs } = await stat(target, { bigint: true });
    return `${target} ${dev} ${ino} ${size} ${mtimeNs}`;
  } catch (error) {
    return `unreadable: ${(error as NodeJS.ErrnoException).code}`;
  }
}

/** Reads a whole regular file of at most `maxBytes`. Throws an Error with a public message. */
export async function readRegularFile(path: string, maxBytes: number): Promise<Buffer> {
  try {
    // Non-blocking: opening a pipe without a writer would otherwise wait for ever.
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stat = await handle.stat();
      if (!stat.isFile()) throw new Error('it is not a regular file');
      if (stat.size > maxBytes) throw new Error(`it is larger than ${maxBytes / 1024 / 1024} MiB`);
      const content = await handle.readFile();
      if (content.length > maxBytes) throw new Error(`it is larger than ${maxBytes / 1024 / 1024} MiB`);
      return content;
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw new Error(publicReason(error as NodeJS.ErrnoException));
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EISDIR: 'it is not a regular file',
  ELOOP: 'too many symbolic links',
  ERR_INVALID_ARG_VALUE: 'it is not a file name',
};

/** The system's own message would repeat the path. */
function publicReason(error: NodeJS.ErrnoException): string {
  return error.code === undefined ? error.message : (reasons[error.code] ?? error.code);
}

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
