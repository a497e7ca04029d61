// Spool: a backlog of audit records on the disk, in segments that are only appended to; it outlives the process.
import fs from 'node:fs';
import { stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type ChainHead, isIntact, seqOf } from '../../hash-chain.ts';
import { type AppendFile, createDirectory, type FileCalls, openAppendFile } from '../file/append-file.ts';
import { createDiskSync } from '../file/disk-sync.ts';
import { codeOf, ignoreMissing, isOutOfSpace } from '../file/errno.ts';
import { acquireLock, type FileLock } from '../file/lock.ts';
import { type Backlog, backlogFull, lengthOf, linesIn } from './backlog.ts';
import { createPositionFile } from './position-file.ts';
import { appendRefused, hasInode, readAt, recordsIn, type Segment, segmentPath } from './segment.ts';
import { keepDamaged, recoverSpool, type SpoolFindings } from './spool-recovery.ts';
import { createTurns } from './turns.ts';

/** The `spool` section of a sink. */
export interface SpoolConfig {
  readonly path: string;
  readonly bytes: number;
  readonly fsync: 'interval' | 'always' | 'never';
}

/** Dependencies of a spool. */
export interface SpoolRuntime extends SpoolFindings {
  readonly files?: FileCalls | undefined;
  readonly signal?: AbortSignal | undefined;
}

const largestSegmentBytes = 16 * 1024 * 1024;
/** Room for an ordinary `next`. */
const scratchBytes = 1024 * 1024;
/** Of the whole: a segment is deleted once all of it is delivered; records set aside have as much room. */
const parts = 8;

/**
 * Creates a spool in a folder that it locks. A record is handed out once it is on the disk, unless `fsync` is `never`: what a receiver has seen is not
 * forgotten in a power loss. Where delivery stands is saved about once a second, so that a killed process delivers some records again.
 */
export function createSpool(initial: SpoolConfig, runtime: SpoolRuntime): Backlog {
  const { log, files = fs, signal } = runtime;
  const { path } = initial;
  let maxBytes = initial.bytes;
  const disk = createDiskSync(() => initial.fsync);
  let lock: FileLock | undefined;
  let file: AppendFile | undefined;
  let segments: Segment[] = [];
  let lastNumber = 0;
  let head: ChainHead | undefined;
  /** In the first segment: all before is acknowledged. */
  let offset = 0;
  /** Yielded by `next`: the bytes of a segment, up to the record with this number. */
  let given: { readonly segment: Segment; readonly bytes: number; readonly seq: number } | undefined;
  /** The number of the last record that was released. */
  let released = 0;
  /** Holds what `next` yielded. */
  const scratch = Buffer.allocUnsafeSlow(scratchBytes);
  const position = createPositionFile(
    path,
    log,
    () => head && { segment: segments[0]?.number ?? lastNumber + 1, offset, head },
  );
  /** Around all that begins, ends or gives up segments. */
  const exclusively = createTurns();

  const total = (): number => segments.reduce((sum, { size }) => sum + size, 0);
  const isFull = (segment: Segment): boolean => segment.size >= Math.min(largestSegmentBytes, maxBytes / parts);

  async function start(): Promise<ChainHead> {
    await createDirectory(path);
    lock ??= await acquireLock(join(path, 'spool'), { signal });
    const { head: end, ...found } = await recoverSpool(path, runtime);
    ({ segments, segment: lastNumber, offset, released } = found);
    return end;
  }

  async function append(lines: Buffer, end: ChainHead): Promise<void> {
    try {
      await write(lines, end);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') await giveUpRemoved();
      else if (!(isOutOfSpace(error) && (await dropDelivered()))) throw error;
      await write(lines, end);
    }
  }

  async function write(lines: Buffer, end: ChainHead): Promise<void> {
    if (total() + lines.length > maxBytes) throw backlogFull(maxBytes);
    const tail = segments.at(-1);
    const segment = tail === undefined || (file !== undefined && isFull(tail)) ? await begin() : await reopen(tail);
    const current = file!;
    try {
      await current.write(lines);
      await disk.written(current);
    } catch (error) {
      // Where it cannot be cut, the next record begins a segment.
      await current.cut(segment.size).catch(() => finish());
      throw error;
    }
    segment.size += lines.length;
    head = end;
  }

  async function begin(): Promise<Segment> {
    await finish();
    const number = lastNumber + 1;
    const segment = { number, size: 0, path: segmentPath(path, number), first: (head?.seq ?? 0) + 1 };
    file = await openAppendFile(segment.path, 0, files);
    lastNumber = number;
    segments.push(segment);
    return segment;
  }

  async function reopen(tail: Segment): Promise<Segment> {
    if (file !== undefined) return tail;
    const { size } = await stat(tail.path);
    if (size !== tail.size || isFull(tail)) return begin();
    file = await openAppendFile(tail.path, size, files);
    return tail;
  }

  async function finish(): Promise<void> {
    const ended = file;
    file = undefined;
    if (ended !== undefined) await disk.finish(ended);
  }

  async function next(atMost: number): Promise<readonly Buffer[]> {
    if (given !== undefined && !segments.includes(given.segment)) tellRemoved(given.seq - released);
    given = undefined;
    for (let first = segments[0]; first !== undefined; first = segments[0]) {
      if (offset < first.size) {
        const length = Math.min(atMost, first.size - offset);
        await disk.flush(() => file);
        const bytes = await readAt(first.path, offset, length, scratch).catch(ignoreMissing);
        if (bytes === undefined) {
          await exclusively(giveUpRemoved);
          continue;
        }
        const lines = linesIn(bytes);
        const damaged = lines.findIndex((line) => !isIntact(line));
        const sound = damaged === -1 ? lines : lines.slice(0, damaged);
        if (sound.length > 0) {
          given = { segment: first, bytes: lengthOf(sound), seq: seqOf(sound.at(-1)!) ?? released };
          return sound;
        }
        await skipDamaged(first, lines, length);
        await release();
      } else {
        if (segments.length === 1 && !isFull(first)) return [];
        await exclusively(() => drop(first));
      }
    }
    return [];
  }

  /** Names the damage before the next whole record, and keeps its segment. */
  async function skipDamaged(segment: Segment, lines: readonly Buffer[], length: number): Promise<void> {
    const next = lines.findIndex(isIntact);
    const damaged = next === -1 ? lines : lines.slice(0, next);
    const bytes = lengthOf(damaged) || length;
    const records = Math.max(damaged.length, 1);
    given = { segment, bytes, seq: released + records };
    await keepDamaged(segment, { records, from: offset, to: offset + bytes }, runtime);
  }

  async function release(): Promise<void> {
    if (given === undefined) return;
    if (given.segment === segments[0]) offset += given.bytes;
    released = given.seq;
    given = undefined;
    position.move();
  }

  /** False where somebody else removed or replaced the segment; without one, the folder. */
  function isThere(segment: Segment | undefined): Promise<boolean> {
    return hasInode(segment?.path ?? path, segment && segment === segments.at(-1) ? file?.inode : undefined);
  }

  /** Goes on without the segments that somebody else removed. Their records are lost, but for those that `next` yielded. */
  async function giveUpRemoved(): Promise<void> {
    const removed = new Set<Segment>();
    for (const segment of segments) if (!(await isThere(segment))) removed.add(segment);
    if (removed.has(segments.at(-1)!)) await finish();
    if (removed.size > 0) {
      tellRemoved(recordsIn(removed, segments, (given?.seq ?? released) + 1, head?.seq ?? 0));
      if (removed.has(segments[0]!)) offset = 0;
      segments = segments.filter((segment) => !removed.has(segment));
    }
    await createDirectory(path);
    position.move();
  }

  function tellRemoved(records: number): void {
    log.error({ path, records }, 'files of the spool were removed by someone else; the records in them are lost');
    runtime.report({ reason: 'spool_removed', detail: { path, records } }, records, 'removed');
  }

  /** Makes room on a full disk; false where there is nothing that was delivered. */
  async function dropDelivered(): Promise<boolean> {
    const before = segments.length;
    for (let [first] = segments; first !== undefined && first.size > 0 && offset >= first.size; [first] = segments) {
      await drop(first);
    }
    // There was no room for it before.
    await position.save().catch(ignore);
    return segments.length < before;
  }

  /** Deletes the first segment once all of it is delivered. */
  async function drop(first: Segment): Promise<void> {
    if (segments[0] !== first || offset < first.size) return;
    if (segments.length === 1) await finish();
    segments.shift();
    offset = 0;
    position.move();
    // Where it cannot be saved, a start goes on with the first segment that is there.
    await position.save().catch(ignore);
    await unlink(first.path).catch(ignoreMissing);
  }

  return {
    async open() {
      head ??= await start();
      return head;
    },
    append: (lines, end) => exclusively(() => append(lines, end)),
    next,
    release,
    setAside: (line) => appendRefused(path, line, maxBytes / parts),
    bytes: () => total() - offset,
    async tick() {
      if (head === undefined) return;
      if (!(await isThere(segments.at(-1)))) await exclusively(giveUpRemoved);
      disk.tick(file);
      void position.saveOrTell();
    },
    resize(bytes) {
      maxBytes = bytes;
    },
    async close() {
      await finish();
      await disk.idle();
      await position.save().catch(ignore);
      await lock?.release();
      lock = undefined;
    },
  };
}

function ignore(): void {}
