// File sink: a locked audit file, continued after restarts, repaired, rotated, and deleted when it expires.
import fs from 'node:fs';
import { rename, rmdir, stat, truncate, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import * as z from 'zod';
import { duration, positiveSize, writtenFilePath } from '../../../config/schema/values.ts';
import { type ChainedLines, type ChainHead, genesis } from '../../hash-chain.ts';
import { commonKeys, type LogEvent, type SinkTarget, type SinkType, type TargetRuntime } from '../sink-type.ts';
import { type AppendFile, createDirectory, openAppendFile } from './append-file.ts';
import { createDiskSync } from './disk-sync.ts';
import { ignoreMissing, isOutOfSpace } from './errno.ts';
import { acquireLock, type FileLock } from './lock.ts';
import { findUnfinished, inspectTail } from './recovery.ts';
import { deleteSurplus, hashAt, isDeleted, lastHead, listRotated, rotatedName } from './rotation.ts';

const schema = z.strictObject({
  type: z.literal('file').describe('Records in a file of this machine, one a line.'),
  path: writtenFilePath.describe('The file; rotated files stand beside it.'),
  rotateAt: positiveSize.prefault('100MiB').describe('The size at which a new file is begun.'),
  keepFor: duration
    .refine((ms) => ms > 0, 'expected a duration above zero')
    .prefault('365d')
    .describe('How long rotated files are kept.'),
  keepBytes: positiveSize
    .optional()
    .describe(
      'How much the files hold in all, the current one at its full size; beyond it the oldest go. Default: no limit.',
    ),
  fsync: z
    .enum(['interval', 'always', 'never'])
    .default('interval')
    .describe('When records are forced to the disk: each second, each record, or by the system.'),
  ...commonKeys,
});

type FileSinkConfig = z.output<typeof schema>;

export const fileSink = {
  schema,
  key: ({ path }) => path,
  check({ keepBytes, path, rotateAt }, { isRead, error }) {
    if (isRead(path)) error('path', 'is a file that this configuration reads; records would destroy it');
    if (keepBytes !== undefined && keepBytes < rotateAt)
      error('keepBytes', 'is less than rotateAt: the current file alone may be larger');
  },
  create: createFileTarget,
} satisfies SinkType<FileSinkConfig>;

/** Bytes at the end of the log in which a start looks for requests without an outcome. */
const lookBackBytes = 64 * 1024 * 1024;
const retentionEveryMs = 3_600_000;
const rotationRetryMs = 60_000;

function createFileTarget(initial: FileSinkConfig, runtime: TargetRuntime): SinkTarget {
  const { now, log, signal, files = fs } = runtime;
  const { path } = initial;
  let config = initial;
  const disk = createDiskSync(() => config.fsync);
  let lock: FileLock | undefined;
  let file: AppendFile | undefined;
  /** Behind the last line; undefined until the file was opened for the first time. */
  let head: ChainHead | undefined;
  /** Of the file that holds `head`; 0 when there is none yet. */
  let inode = 0;
  /** Events of the opening that have to be recorded. */
  const found: LogEvent[] = [];
  let rotationRetryAt = 0;
  let retentionDueAt = 0;
  /** Created by the first opening. */
  let createdFile = false;
  let createdDirectories: readonly string[] = [];
  let rotations = 0;

  async function prepare() {
    try {
      if (head === undefined) head = await start();
      else if (file === undefined) head = await reopen(head);
    } catch (error) {
      await abandon();
      throw error;
    }
    return { head, events: found.splice(0), rotations };
  }

  /** Continues what earlier processes wrote. */
  async function start(): Promise<ChainHead> {
    createdDirectories = [...createdDirectories, ...(await takePath())];
    const rotated = await listRotated(path);
    createdFile ||= !fs.existsSync(path);
    const logs = [...rotated.map((each) => each.path), path];
    const last = (await adopt()) ?? (rotated.length > 0 ? await lastHead(logs.at(-2)!) : undefined) ?? genesis;
    for (const { id, route, seq } of await findUnfinished(logs, lookBackBytes)) {
      found.push({ id, stage: 'completed', route, outcome: 'unknown', reason: 'restart', detail: { decided: seq } });
    }
    return last;
  }

  /** Opens what is at the path, repairing its end. */
  async function adopt(): Promise<ChainHead | undefined> {
    const stats = await stat(path).catch(ignoreMissing);
    if (stats !== undefined && !stats.isFile()) throw new Error(`${path} is not a regular file`);
    const tail = stats === undefined ? undefined : await inspectTail(path);
    if (tail?.torn !== undefined) {
      await truncate(path, tail.keepBytes);
      log.warn({ path, bytes: tail.torn.bytes }, 'audit file: a torn last line was cut');
      const { bytes, sha256, text } = tail.torn;
      found.push({ reason: 'repaired', detail: { repaired: bytes, at: tail.keepBytes, sha256, text } });
    }
    const opened = await openAt(tail?.keepBytes ?? 0);
    if (tail?.unterminated === true) await opened.write(Buffer.from('\n'));
    return tail?.head;
  }

  /**
   * After a failure, or when an outsider has renamed, cut or deleted the file. The chain goes on from the last line that
   * reached the file, which may be further than the last write that was known to succeed, and never from an earlier one.
   */
  async function reopen(last: ChainHead): Promise<ChainHead> {
    const known = inode;
    await takePath();
    const end = (await adopt()) ?? genesis;
    if (known === 0) return last;
    if (known !== inode) {
      log.warn({ path }, 'audit file was renamed or deleted by someone else; continuing in a new one');
      found.push({ reason: 'file_replaced', detail: { lastSeq: last.seq } });
      return last;
    }
    if (end.seq >= last.seq) return end;
    log.warn({ path }, 'audit file was cut by someone else');
    found.push({ reason: 'file_shrunk', detail: { lastSeq: last.seq, found: end.seq } });
    return last;
  }

  /** Takes the lock, in a directory that may have to be created. Yields the directories that were. */
  async function takePath(): Promise<string[]> {
    const directories = await createDirectory(dirname(path));
    lock ??= await acquireLock(path, { signal });
    return directories;
  }

  async function openAt(length: number): Promise<AppendFile> {
    file = await openAppendFile(path, length, files);
    inode = file.inode;
    return file;
  }

  async function write(chained: ChainedLines): Promise<void> {
    const isFull = file!.size() >= config.rotateAt && now() >= rotationRetryAt;
    const current = isFull ? await rotate(file!) : file!;
    const before = current.size();
    try {
      await current.write(chained.lines);
      await disk.written(current);
    } catch (error) {
      await cutBack(current, before, error);
      throw error;
    }
    head = chained.head;
  }

  /** A write that failed may have left a part. Where the file cannot simply be cut, opening it again repairs its end. */
  async function cutBack(current: AppendFile, before: number, error: unknown): Promise<void> {
    if (!isOutOfSpace(error)) return abandon();
    if (current.size() === before) return;
    await current.cut(before).catch(abandon);
  }

  /** Gives the descriptor up; the next write opens the file again. */
  async function abandon(): Promise<void> {
    const given = file;
    file = undefined;
    await disk.idle();
    if (await given?.isOpen()) await given?.close().catch(ignore);
  }

  /** Renames the full file and goes on in a new one. When that cannot be, the full one is written on. */
  async function rotate(full: AppendFile): Promise<AppendFile> {
    const name = rotatedName(path, now(), head?.seq ?? 0);
    try {
      await rename(path, name);
    } catch (error) {
      rotationRetryAt = now() + rotationRetryMs;
      log.error({ path, err: error }, 'audit file cannot be rotated; writing on');
      return full;
    }
    file = undefined;
    inode = 0;
    retentionDueAt = 0;
    rotations += 1;
    await disk.finish(full);
    return openAt(0);
  }

  async function tick(record: (event: LogEvent) => Promise<void>): Promise<void> {
    if (head === undefined) return;
    try {
      if (file !== undefined) head = await checkIdentity(file, head);
      disk.tick(file);
      if (now() >= retentionDueAt) await retain(record);
    } catch (error) {
      await abandon();
      throw error;
    }
  }

  /** Opens the file again when an outsider has renamed, cut or deleted it. */
  async function checkIdentity(current: AppendFile, last: ChainHead): Promise<ChainHead> {
    const stats = await stat(path).catch(ignoreMissing);
    if ((await current.isOpen()) && stats?.ino === current.inode && stats.size === current.size()) return last;
    await abandon();
    // No file has this number; that of a deleted one may be given to the new one.
    if (stats?.ino !== inode) inode = -1;
    return reopen(last);
  }

  async function retain(record: (event: LogEvent) => Promise<void>): Promise<void> {
    retentionDueAt = now() + retentionEveryMs;
    const { keepBytes = Number.POSITIVE_INFINITY, keepFor, rotateAt } = config;
    await deleteSurplus(path, { rotatedBy: now() - keepFor, maxBytes: keepBytes - rotateAt }, record);
  }

  /** An opening that came to nothing leaves nothing behind. */
  async function close(): Promise<void> {
    const isEmpty = file?.size() === 0;
    if (file !== undefined) await disk.finish(file);
    await disk.idle();
    file = undefined;
    if (createdFile && isEmpty) await unlink(path).catch(ignore);
    await lock?.release();
    lock = undefined;
    // Those that hold something stay.
    for (const directory of createdDirectories.toReversed()) await rmdir(directory).catch(ignore);
  }

  return {
    prepare,
    write,
    tick,
    hashAt: (seq) => hashAt(path, seq),
    isDeleted: (seq, isProved) => isDeleted(path, seq, isProved),
    sync: () => disk.flush(() => file),
    configure: (next: FileSinkConfig) => {
      config = next;
      retentionDueAt = 0;
    },
    close,
  };
}

function ignore(): undefined {}
