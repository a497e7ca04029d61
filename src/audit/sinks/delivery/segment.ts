// Segments of a spool: files of whole records that are only appended to, and the records that their receiver refused.
import { appendFile, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { seqOf } from '../../hash-chain.ts';
import { ignoreMissing } from '../file/errno.ts';

/** A file of the spool. */
export interface Segment {
  readonly path: string;
  readonly number: number;
  /** Bytes of whole lines whose writing succeeded. */
  size: number;
  /** The number of its first record. */
  first: number;
}

/** The path of a segment. */
export function segmentPath(folder: string, number: number): string {
  return join(folder, `${String(number).padStart(12, '0')}.jsonl`);
}

/** The number of the record that begins there; undefined where none does. */
export async function seqAt(path: string, offset: number): Promise<number | undefined> {
  const handle = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(32), 0, 32, offset);
    return seqOf(buffer.subarray(0, bytesRead));
  } finally {
    await handle.close();
  }
}

/** Bytes of a file, in `scratch` where they fit. */
export async function readAt(path: string, from: number, length: number, scratch: Buffer): Promise<Buffer> {
  const handle = await open(path, 'r');
  try {
    const bytes = length <= scratch.length ? scratch.subarray(0, length) : Buffer.allocUnsafe(length);
    const { bytesRead } = await handle.read(bytes, 0, length, from);
    return bytes.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** False where nothing is there, or another file than that with this inode. */
export async function hasInode(path: string, inode?: number): Promise<boolean> {
  const found = await stat(path).catch(ignoreMissing);
  return found !== undefined && (inode === undefined || found.ino === inode);
}

/** The number of records from `from` on that some of the segments hold, of a chain that ends with `last`. */
export function recordsIn(
  some: ReadonlySet<Segment>,
  segments: readonly Segment[],
  from: number,
  last: number,
): number {
  let records = 0;
  for (const [index, segment] of segments.entries()) {
    const end = segments[index + 1]?.first ?? last + 1;
    if (some.has(segment)) records += Math.max(0, end - Math.max(segment.first, from));
  }
  return records;
}

/** Keeps a record apart that its receiver refuses; false where `maxBytes` are kept already, or it cannot be written. */
export async function appendRefused(folder: string, line: Buffer, maxBytes: number): Promise<boolean> {
  const target = join(folder, 'refused.jsonl');
  try {
    const size = (await stat(target).catch(ignoreMissing))?.size ?? 0;
    if (size + line.length >= maxBytes) return false;
    await appendFile(target, Buffer.concat([line, Buffer.from('\n')]), { mode: 0o600 });
    return true;
  } catch {
    return false;
  }
}
