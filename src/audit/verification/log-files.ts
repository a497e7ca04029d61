// Files of audit logs that are verified: their first records, and the log that a file is of by its name.
import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileProblem } from '../../errors.ts';
import { type Link, parseLink } from '../hash-chain.ts';
import { openSource } from '../reading/sources.ts';
import { type Line, splitLines } from '../sinks/file/lines.ts';

/** A file that holds something. */
export interface LogFile {
  readonly path: string;
  /** The path of the log: rotated files have that of the current one. */
  readonly log: string;
  /** The first record; undefined where the first line is none. */
  readonly first: Pick<Link, 'seq' | 'prev'> | undefined;
  /** The worker whose records are meant, where those of several are in the file: each has a chain of its own. */
  readonly worker?: string;
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
  const files = new Map<string, readonly LogFile[]>();
  for (const path of paths) {
    const real = await realpath(path).catch((cause: unknown) => {
      throw new Error(`${path}: ${fileProblem(cause)}`, { cause });
    });
    if (!files.has(real)) files.set(real, await chainsIn(path));
  }
  const seqOf = ({ first }: LogFile) => first?.seq ?? Number.MAX_SAFE_INTEGER;
  return [...files.values()].flat().sort((one, other) => seqOf(one) - seqOf(other));
}

/** The suffix that a rotation gives. */
const rotation = /-\d{8}T\d{6}\.\d{3}Z-\d{12,16}(?=\.[^.]*$|$)/;

function logOf(path: string): string {
  return join(dirname(path), basename(path, '.gz').replace(rotation, ''));
}

/** The chains of a file: one, or one for each worker whose lines are in it, as on a shared standard output. */
async function chainsIn(path: string): Promise<LogFile[]> {
  const log = logOf(path);
  const workers = new Map<string | undefined, LogFile>();
  for await (const { bytes } of linesOf(path)) {
    const worker = workerOf(bytes);
    if (workers.has(worker) || (worker === undefined && workers.size > 0)) continue;
    const link = parseLink(bytes);
    workers.set(worker, { path, log, first: link && { seq: link.seq, prev: link.prev } });
    if (worker === undefined) break;
  }
  if (workers.size < 2) return [...workers.values()];
  return [...workers].map(([worker, file]) => ({ ...file, log: `${log} (worker ${worker})`, worker: worker! }));
}

const instanceKey = Buffer.from('"instance":"');

/** The number of the worker that wrote a line, behind the name of the gateway; undefined where no worker did. */
export function workerOf(line: Buffer): string | undefined {
  const at = line.indexOf(instanceKey) + instanceKey.length;
  if (at < instanceKey.length) return undefined;
  return /\.(\d+)$/.exec(line.toString('latin1', at, line.indexOf('"', at)))?.[1];
}
