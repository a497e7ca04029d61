// Recovery of an audit file that an earlier process wrote: the head of its chain, a torn last line, requests without an outcome.
import { hash } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import { type ChainHead, parseLink } from '../../hash-chain.ts';
import { maxLineBytes, readLines } from './lines.ts';

/** The end of an audit file. */
export interface FileTail {
  /** Bytes to keep: up to the end of the last good line. */
  readonly keepBytes: number;
  /** Undefined when the file holds no line. */
  readonly head: ChainHead | undefined;
  /** The last line is whole but lacks its newline. */
  readonly unterminated: boolean;
  /** The bytes behind the last good line, which are to be cut. */
  readonly torn: { readonly bytes: number; readonly sha256: string; readonly text: string } | undefined;
}

const tornTextLength = 1024;
const lineStart = '{"seq":';

/**
 * Looks at the end of an audit file; changes nothing. Only the last line may be torn (a crash or power loss): when the
 * one before it is no audit line either, or the file was never ours, this throws instead of proposing a cut.
 */
export async function inspectTail(path: string): Promise<FileTail> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const window = Buffer.alloc(Math.min(size, 2 * maxLineBytes));
    const { bytesRead } = await handle.read(window, 0, window.length, size - window.length);
    return judge(path, size, window.subarray(0, bytesRead));
  } finally {
    await handle.close();
  }
}

function judge(path: string, size: number, window: Buffer): FileTail {
  if (size === 0) return { keepBytes: 0, head: undefined, unterminated: false, torn: undefined };
  const unterminated = window.at(-1) !== 10;
  const end = unterminated ? window.length : window.length - 1;
  const start = startOfLine(window, end);
  const last = parseLink(window.subarray(start, end));
  if (last !== undefined) return { keepBytes: size, head: last, unterminated, torn: undefined };

  const cut = window.subarray(start);
  const keepBytes = size - cut.length;
  const torn = { bytes: cut.length, sha256: hash('sha256', cut), text: cut.toString('utf8', 0, tornTextLength) };
  if (keepBytes === 0) {
    if (!couldBeOurs(cut)) throw new Error(`${path} is not an audit file; name another path or move it away`);
    return { keepBytes, head: undefined, unterminated: false, torn };
  }
  const before = start === 0 ? undefined : parseLink(window.subarray(startOfLine(window, start - 1), start - 1));
  if (before === undefined) {
    throw new Error(
      `${path} is damaged beyond its last line; check it with "portcullis audit verify" and move it away`,
    );
  }
  return { keepBytes, head: before, unterminated: false, torn };
}

function startOfLine(window: Buffer, end: number): number {
  return end === 0 ? 0 : window.lastIndexOf(10, end - 1) + 1;
}

/** The beginning of a first line, or the zeros that a file system leaves after a power loss. */
function couldBeOurs(cut: Buffer): boolean {
  const text = cut.toString('latin1', 0, lineStart.length);
  return text === lineStart || lineStart.startsWith(text.trimEnd()) || cut.every((byte) => byte === 0);
}

/** A request that was allowed and of which no end is recorded. */
export interface Unfinished {
  readonly id: string;
  readonly seq: number;
  readonly route: string | undefined;
}

/** `decided` records without their `completed` in these files (oldest first), looking at the last `maxBytes` only. */
export async function findUnfinished(paths: readonly string[], maxBytes: number): Promise<Unfinished[]> {
  const open = new Map<string, Unfinished>();
  const spans: { path: string; start: number }[] = [];
  let left = maxBytes;
  for (const path of paths.toReversed()) {
    if (left <= 0) break;
    const { size } = await stat(path);
    spans.unshift({ path, start: Math.max(size - left, 0) });
    left -= size;
  }
  for (const { path, start } of spans) {
    for await (const { bytes } of readLines(path, start)) {
      const record = parseLink(bytes)?.record;
      if (record === undefined || typeof record.id !== 'string') continue;
      if (record.stage === 'completed') open.delete(record.id);
      if (record.stage !== 'decided') continue;
      const route = typeof record.route === 'string' ? record.route : undefined;
      open.set(record.id, { id: record.id, seq: Number(record.seq), route });
    }
  }
  return [...open.values()];
}
