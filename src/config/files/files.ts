// Reading of files: each once, regular files only, bounded, with a stamp from before.
import { constants } from 'node:fs';
import { open, realpath, stat } from 'node:fs/promises';
import { fileProblem } from '../../errors.ts';
import { createNamedFiles, type NamedFiles } from '../../named-files.ts';

const maxFileBytes = 16 * 1024 * 1024;

/** A reader that reads each file once. */
export interface FileReader {
  /** The content by absolute path. Throws an Error with a public message. */
  read(path: string): Promise<Buffer>;
  /** Gives a content to a path that cannot be read. */
  standIn(path: string, content: Buffer): void;
  /** Everything read so far. */
  readonly files: NamedFiles;
}

/** Reads a whole file of at most `maxBytes`. Throws an Error with a public message. */
export type ReadFile = (path: string, maxBytes: number) => Promise<Buffer>;

/** Stamps by absolute path. */
export type Stamps = ReadonlyMap<string, string>;

/**
 * Each path is read once, however often it is named: all of a snapshot sees the same bytes. `stamps` takes the stamp of each file before it is
 * read, also of one that cannot be.
 */
export function createFileReader(
  stamps: Map<string, string> = new Map(),
  readFile: ReadFile = readRegularFile,
): FileReader {
  const files = new Map<string, Buffer>();
  const reads = new Map<string, Promise<Buffer>>();
  return {
    files: createNamedFiles(files),
    standIn(path, content) {
      files.set(path, content);
      reads.set(path, Promise.resolve(content));
    },
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
    const content = await readFile(path, maxFileBytes);
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
    throw new Error(fileProblem(error), { cause: error });
  }
}
