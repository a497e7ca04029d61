// Rotated audit files: their names, their order, and their description in a retention record.
import { createHash } from 'node:crypto';
import { open, readdir, stat, unlink } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { type ChainHead, type Link, parseLink, seqOf } from '../../hash-chain.ts';
import { coversBefore } from '../../verification/head-check.ts';
import type { LogEvent } from '../sink-type.ts';
import { ignoreMissing } from './errno.ts';
import { readLines } from './lines.ts';
import { inspectTail } from './recovery.ts';

/** A rotated file, by its name. */
export interface RotatedFile {
  readonly path: string;
  /** Milliseconds since 1970, from the name. */
  readonly rotatedAt: number;
  readonly lastSeq: number;
}

/** A deleted file as the retention record states it and `verifyChain` reads it. */
export interface DeletedFile {
  readonly file: string;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly lastHash: string;
}

/** `audit.jsonl` becomes `audit-20261123T054500.123Z-000000000042.jsonl`: sorted by name, ending in the last `seq` inside. */
export function rotatedName(path: string, rotatedAt: number, lastSeq: number): string {
  const stamp = new Date(rotatedAt).toISOString().replace(/[-:]/g, '');
  const extension = extname(path);
  return join(dirname(path), `${basename(path, extension)}-${stamp}-${String(lastSeq).padStart(12, '0')}${extension}`);
}

/** The rotated files of `path`, oldest first. */
export async function listRotated(path: string): Promise<RotatedFile[]> {
  const extension = extname(path);
  const prefix = `${basename(path, extension)}-`;
  const files: RotatedFile[] = [];
  for (const name of await readdir(dirname(path))) {
    if (!name.startsWith(prefix) || !name.endsWith(extension)) continue;
    const match = /^(\d{4})(\d\d)(\d\dT\d\d)(\d\d)(\d\d\.\d{3}Z)-(\d{12,16})$/.exec(
      name.slice(prefix.length, name.length - extension.length),
    );
    if (match === null) continue;
    const [, year, month, dayAndHour, minute, second, seq] = match;
    const rotatedAt = Date.parse(`${year}-${month}-${dayAndHour}:${minute}:${second}`);
    files.push({ path: join(dirname(path), name), rotatedAt, lastSeq: Number(seq) });
  }
  return files.sort((one, other) => one.lastSeq - other.lastSeq);
}

/**
 * Deletes the oldest rotated files: those up to `rotatedBy` (milliseconds since 1970), and those in front of the youngest that hold `maxBytes`
 * together. The record of each is written first and names the key that it exceeds; when that cannot be, nothing is deleted.
 */
export async function deleteSurplus(
  path: string,
  kept: { readonly rotatedBy: number; readonly maxBytes: number },
  record: (event: LogEvent) => Promise<void>,
): Promise<void> {
  const rotated = await listRotated(path);
  const young = rotated.findIndex(({ rotatedAt }) => rotatedAt > kept.rotatedBy);
  const expired = young === -1 ? rotated.length : young;
  let first = rotated.length;
  for (let bytes = 0; first > expired; first -= 1) {
    bytes += (await stat(rotated[first - 1]!.path).catch(ignoreMissing))?.size ?? 0;
    if (bytes > kept.maxBytes) break;
  }
  for (const [index, { path: old }] of rotated.slice(0, first).entries()) {
    const exceeds = index < expired ? 'keepFor' : 'keepBytes';
    await record({ reason: 'retention', detail: { exceeds, deleted: await describe(old) } });
    await unlink(old).catch(ignoreMissing);
  }
}

/** A file that holds no chain is described by its digest alone. */
async function describe(path: string): Promise<DeletedFile | { file: string; sha256: string }> {
  const file = basename(path);
  const first = await firstLink(path);
  const last = await lastHead(path);
  if (first === undefined || last === undefined) return { file, sha256: await digestOf(path) };
  return { file, firstSeq: first.seq, lastSeq: last.seq, lastHash: last.hash };
}

/** The head that a rotated file ends in; undefined when it is empty or no audit file. */
export async function lastHead(path: string): Promise<ChainHead | undefined> {
  return (await inspectTail(path).catch(() => undefined))?.head;
}

async function firstLink(path: string): Promise<Link | undefined> {
  for await (const { bytes } of readLines(path)) return parseLink(bytes);
  return undefined;
}

async function digestOf(path: string): Promise<string> {
  const digest = createHash('sha256');
  const handle = await open(path, 'r');
  for await (const chunk of handle.createReadStream()) digest.update(chunk);
  return digest.digest('hex');
}

/** The hash of the record with this number in the file at `path` or its rotated ones; undefined when they do not hold it. */
export async function hashAt(path: string, seq: number): Promise<string | undefined> {
  const rotated = await listRotated(path);
  for (const each of [path, ...rotated.map((file) => file.path).reverse()]) {
    for await (const { bytes } of readLines(each)) {
      const found = seqOf(bytes);
      if (found === undefined || found > seq) break;
      if (found === seq) return parseLink(bytes)?.hash;
    }
  }
  return undefined;
}

/**
 * True where the file at `path` and its rotated ones begin behind the record with this number, and hold a retention record, which `isProved` accepts,
 * of the deletion of all before their first.
 */
export async function isDeleted(path: string, seq: number, isProved: (link: Link) => boolean): Promise<boolean> {
  const files = [...(await listRotated(path)).map((file) => file.path), path];
  const first = await firstLink(files[0]!);
  if (first === undefined || first.seq <= seq) return false;
  for (const each of files.toReversed()) {
    for await (const { bytes } of readLines(each)) {
      const link = bytes.includes('"reason":"retention"') ? parseLink(bytes) : undefined;
      if (link !== undefined && coversBefore(link, first) && isProved(link)) return true;
    }
  }
  return false;
}
