// Files of audit logs that are verified: their first records, and the log that a file is of by its name.
import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileProblem } from '../../errors.ts';
import { type Line, splitLines } from '../file/lines.ts';
import { type Link, parseLink } from '../hash-chain.ts';
import { openSource } from '../reading/sources.ts';

/** A file that holds something. */
export interface LogFile {
  readonly path: string;
  /** The path of the log: rotated files have that of the current one. */
  readonly log: string;
  /** The first record; undefined where the first line is none. */
  readonly first: Pick<Link, 'seq' | 'prev'> | undefined;
}

/** Streams the lines of a file, decompressed where its name ends in `.gz`. Throws an Error with a public message when it cannot be read. */
export async function* linesOf(path: string): AsyncGenerator<Line> {
  try {
    for await (const lines of splitLines(openSource({ path, isCompressed: path.endsWith('.gz') }).chunks)) yield* lines;
  } catch (cause) {
    throw new Error(`${path}: ${fileProblem(cause)}`, { cause });
  }
}

/** Each file once, by the `seq` of its first record; files that begin with no record go last, empty ones are left out. */
export async function openLogFiles(paths: readonly string[]): Promise<LogFile[]> {
  const files = new Map<string, LogFile>();
  for (const path of paths) {
    const real = await realpath(path).catch((cause: unknown) => {
      throw new Error(`${path}: ${fileProblem(cause)}`, { cause });
    });
    if (files.has(real)) continue;
    for await (const { bytes } of linesOf(path)) {
      const link = parseLink(bytes);
      files.set(real, { path, log: logOf(path), first: link && { seq: link.seq, prev: link.prev } });
      break;
    }
  }
  const seqOf = ({ first }: LogFile) => first?.seq ?? Number.MAX_SAFE_INTEGER;
  return [...files.values()].sort((one, other) => seqOf(one) - seqOf(other));
}

/** The suffix that a rotation gives. */
const rotation = /-\d{8}T\d{6}\.\d{3}Z-\d{12,16}(?=\.[^.]*$|$)/;

function logOf(path: string): string {
  return join(dirname(path), basename(path, '.gz').replace(rotation, ''));
}
