// Files of audit logs to be read, in the order of their records; those compressed by gzip (RFC 1952) as what they hold.
import { createReadStream, type ReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { fileProblem } from '../../errors.ts';
import { chunkBytes, splitLines } from '../sinks/file/lines.ts';
import { parseRecord, timeOf } from './record.ts';

/** A file to be read. */
export interface Source {
  readonly path: string;
  /** 0 for what is no regular file, such as a pipe. */
  readonly bytes: number;
  readonly inode: number;
  readonly isCompressed: boolean;
}

/** The bytes of a file, and how many of the file were read for them. */
export interface OpenSource {
  readonly chunks: AsyncIterable<Buffer>;
  readonly bytesRead: () => number;
}

/** Opens a file. The name of a compressed one ends in `.gz`. */
export function openSource({ path, isCompressed }: Pick<Source, 'path' | 'isCompressed'>): OpenSource {
  const file: ReadStream = createReadStream(path, { highWaterMark: chunkBytes });
  const bytesRead = () => file.bytesRead;
  if (!isCompressed) return { chunks: file, bytesRead };
  // An error of either ends the iteration.
  return { chunks: pipeline(file, createGunzip({ chunkSize: chunkBytes }), () => {}), bytesRead };
}

/**
 * Each file once, by the time of its first record. Pipes, and files that begin with no record, go last. Throws an Error with a public message when
 * a file cannot be read.
 */
export async function sortByTime(paths: readonly string[]): Promise<Source[]> {
  const found = new Map<string, { readonly source: Source; readonly time: number; readonly seq: number }>();
  for (const path of paths) {
    try {
      const stats = await stat(path);
      if (stats.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' });
      const isCompressed = path.endsWith('.gz');
      const source = { path, bytes: stats.isFile() ? stats.size : 0, inode: stats.ino, isCompressed };
      // The bytes of a pipe can be read once, and it need not have a name.
      if (!stats.isFile()) found.set(path, { source, ...atTheEnd });
      else found.set(await realpath(path), { source, ...(await startOf(source)) });
    } catch (cause) {
      throw new Error(`${path}: ${fileProblem(cause)}`, { cause });
    }
  }
  return [...found.values()]
    .sort((one, other) => one.time - other.time || one.seq - other.seq)
    .map(({ source }) => source);
}

const atTheEnd = { time: Number.MAX_SAFE_INTEGER, seq: Number.MAX_SAFE_INTEGER };

async function startOf(source: Source): Promise<{ time: number; seq: number }> {
  try {
    for await (const [line] of splitLines(openSource(source).chunks)) {
      if (line === undefined) continue;
      const record = parseRecord(line.bytes);
      return record === undefined ? atTheEnd : { time: timeOf(record) || 0, seq: record.seq };
    }
  } catch (error) {
    // A damaged compressed file is named when it is read.
    if (!source.isCompressed) throw error;
  }
  return atTheEnd;
}
