// Audit lines in a file: opened for append, locked, chained over restarts and rotations, cut back after a failed write.
import fs from 'node:fs';
import { rename, rmdir, stat, truncate, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { duration, filePath, positiveSize } from '../../config/schema/values.ts';
import { type ChainHead, chainLines, genesis } from '../hash-chain.ts';
import type { SinkTarget } from '../sink.ts';
import { commonKeys, type SinkType, type TargetRuntime } from '../sink-type.ts';
import { type AppendFile, createDirectory, openAppendFile } from './append-file.ts';
import { acquireLock, type FileLock } from './lock.ts';
import { findUnfinished, inspectTail } from './recovery.ts';
import { describeForDeletion, lastHead, listExpired, listRotated, rotatedName } from './rotation.ts';

const schema = z.strictObject({
  type: z.literal('file'),
  path: filePath.describe('The file; rotated files stand beside it.'),
  rotateAt: positiveSize.prefault('100MiB').describe('The size at which a new file is begun.'),
  keepFor: duration
    .refine((ms) => ms > 0, 'expected a duration above zero')
    .prefault('365d')
    .describe('How long rotated files are kept.'),
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
  check({ path }, { isRead, error }) {
    if (isRead(path)) error('path', 'is a file that this configuration reads; records would destroy it');
  },
  create: createFileTarget,
} satisfies SinkType<FileSinkConfig>;

export interface FileTarget extends SinkTarget {
  /** Takes over another `rotateAt`, `keepFor` and `fsync`; the path stays. */
  configure(config: FileSinkConfig): void;
}

/** How far back a start looks for requests without an outcome. */
const lookBackBytes = 64 * 1024 * 1024;
const retentionEveryMs = 3_600_000;
const rotationRetryMs = 60_000;
/** After these the file itself is sound: it is cut back and kept open. */
const outOfSpace = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

const noInode = -1;
/** Room for the lines of an ordinary write. */
const scratchBytes = 256 * 1024;

function createFileTarget(initial: FileSinkConfig, runtime: TargetRuntime): FileTarget {
  const { record, now, log, signal, files = fs } = runtime;
  const { path } = initial;
  /** Where lines are put together; one write at a time uses it. */
  const scratch = Buffer.allocUnsafeSlow(scratchBytes);
  let config = initial;
  let lock: FileLock | undefined;
  let file: AppendFile | undefined;
  let head: ChainHead | undefined;
  /** The file that `head` speaks of; 0 when there is none yet. */
  let inode = 0;
  /** Records of our own that go before the next ones. */
  let owed: string[] = [];
  let unsynced = false;
  let syncing: Promise<void> | undefined;
  let syncError: unknown;
  /** After a failed fsync the next write is only good when a fsync of it is. */
  let syncOwed = false;
  let rotationRetryAt = 0;
  let retentionDueAt = 0;
  /** What the first opening created. */
  let created: { file: boolean; directories: readonly string[] } = { file: false, directories: [] };

  async function openTarget(): Promise<void> {
    const directories = await createDirectory(dirname(path));
    if (directories.length > 0) created = { ...created, directories };
    lock ??= await acquireLock(path, { signal });
    if (head === undefined) await start();
    else await reopen();
    await write([]);
  }

  async function start(): Promise<void> {
    const rotated = await listRotated(path);
    created = { ...created, file: !fs.existsSync(path) };
    const found = (await adopt()).head;
    const newest = rotated.at(-1);
    head = found ?? (newest === undefined ? undefined : await lastHead(newest.path)) ?? genesis;
    const unfinished = await findUnfinished([...rotated.map((each) => each.path), path], lookBackBytes);
    for (const { id, route, seq } of unfinished) {
      owed.push(
        record({ id, stage: 'completed', route, outcome: 'unknown', reason: 'restart', detail: { decided: seq } }),
      );
    }
  }

  /** Opens what is at the path, repairing its end. */
  async function adopt(): Promise<{ opened: AppendFile; head: ChainHead | undefined }> {
    const found = await stat(path).catch(ignoreMissing);
    if (found !== undefined && !found.isFile()) throw new Error(`${path} is not a regular file`);
    const tail = found === undefined ? undefined : await inspectTail(path);
    if (tail?.torn !== undefined) {
      await truncate(path, tail.keepBytes);
      log.warn({ path, bytes: tail.torn.bytes }, 'audit file: a torn last line was cut');
      const { bytes, sha256, text } = tail.torn;
      owed.push(record({ reason: 'repaired', detail: { repaired: bytes, at: tail.keepBytes, sha256, text } }));
    }
    const opened = await openAt(tail?.keepBytes ?? 0);
    if (tail?.unterminated === true) await opened.write(Buffer.from('\n'));
    return { opened, head: tail?.head };
  }

  /**
   * After a failure, or when an outsider has renamed, cut or deleted the file. The chain goes on from the last line that
   * reached the file, which may be further than the last write that was known to succeed, and never from an earlier one.
   */
  async function reopen(): Promise<AppendFile> {
    const known = inode;
    await createDirectory(dirname(path));
    const { opened, head: found } = await adopt();
    if (known === 0) return opened;
    if (known !== inode) {
      log.warn({ path }, 'audit file was renamed or deleted by someone else; continuing in a new one');
      owed.push(record({ reason: 'file_replaced', detail: { lastSeq: head?.seq ?? 0 } }));
    } else if ((found?.seq ?? 0) < (head?.seq ?? 0)) {
      log.warn({ path }, 'audit file was cut by someone else');
      owed.push(record({ reason: 'file_shrunk', detail: { lastSeq: head?.seq ?? 0, found: found?.seq ?? 0 } }));
    } else {
      head = found;
    }
    return opened;
  }

  async function openAt(length: number): Promise<AppendFile> {
    file = await openAppendFile(path, length, files);
    inode = file.inode;
    return file;
  }

  async function write(bodies: readonly string[]): Promise<void> {
    const opened = file ?? (await reopen());
    const all = owed.length === 0 ? bodies : [...owed, ...bodies];
    if (all.length === 0) return;
    const isFull = opened.size() >= config.rotateAt && now() >= rotationRetryAt;
    const current = isFull ? await rotate(opened) : opened;
    const chained = chainLines(head ?? genesis, all, scratch);
    const before = current.size();
    try {
      await current.write(chained.lines);
      if (config.fsync === 'always' || syncOwed) await current.sync();
    } catch (error) {
      await cutBack(current, before, error);
      throw error;
    }
    head = chained.head;
    owed = [];
    syncOwed = false;
    unsynced = config.fsync !== 'always';
  }

  /** A write that failed may have left a part. Where the file cannot simply be cut, opening it again repairs its end. */
  async function cutBack(current: AppendFile, before: number, error: unknown): Promise<void> {
    if (!outOfSpace.has(String(codeOf(error)))) return abandon();
    if (current.size() === before) return;
    await current.cut(before).catch(abandon);
  }

  /** Gives the descriptor up; the next write opens the file again. */
  async function abandon(): Promise<void> {
    const given = file;
    file = undefined;
    await syncing;
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
    await syncing;
    syncing = sync(full, true);
    return openAt(0);
  }

  async function tick(): Promise<void> {
    try {
      await checkIdentity();
      if (syncError !== undefined) throw syncError;
      if (config.fsync === 'interval' && unsynced && syncing === undefined) {
        unsynced = false;
        syncing = sync(file, false);
      }
      await write([]);
      if (now() >= retentionDueAt) await deleteExpired();
    } catch (error) {
      syncError = undefined;
      await abandon();
      throw error;
    }
  }

  async function checkIdentity(): Promise<void> {
    if (file === undefined) return;
    const found = await stat(path).catch(ignoreMissing);
    if ((await file.isOpen()) && found?.ino === file.inode && found.size === file.size()) return;
    await abandon();
    // A deleted file's number may be given to the new one.
    if (found?.ino !== inode) inode = noInode;
    await reopen();
  }

  async function sync(of: AppendFile | undefined, close: boolean): Promise<void> {
    if (of === undefined) return;
    try {
      if (config.fsync !== 'never') await of.sync();
    } catch (error) {
      syncError = error;
      syncOwed = true;
    } finally {
      syncing = undefined;
      if (close) await of.close().catch(ignore);
    }
  }

  /** The record of what goes is written first; when it cannot be, nothing is deleted. */
  async function deleteExpired(): Promise<void> {
    retentionDueAt = now() + retentionEveryMs;
    for (const { path: old } of await listExpired(path, now() - config.keepFor)) {
      await write([record({ reason: 'retention', detail: { deleted: await describeForDeletion(old) } })]);
      await unlink(old);
    }
  }

  /** An opening that came to nothing leaves nothing behind. */
  async function close(): Promise<void> {
    await syncing;
    const isEmpty = file?.size() === 0;
    await sync(file, true);
    file = undefined;
    if (created.file && isEmpty) await unlink(path).catch(ignore);
    await lock?.release();
    lock = undefined;
    // Those that hold something stay.
    for (const directory of created.directories.toReversed()) await rmdir(directory).catch(ignore);
  }

  return {
    open: openTarget,
    write,
    tick,
    close,
    configure: (next) => {
      config = next;
    },
  };
}

function ignoreMissing(error: unknown): undefined {
  if (codeOf(error) !== 'ENOENT') throw error;
}

function ignore(): undefined {}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
