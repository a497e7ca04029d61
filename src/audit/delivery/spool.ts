// Spool: a backlog of audit records on the disk, in segments that are only appended to; it outlives the process.
import fs from 'node:fs';
import { appendFile, open, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type AppendFile, createDirectory, type FileCalls, openAppendFile } from '../file/append-file.ts';
import { createDiskSync } from '../file/disk-sync.ts';
import { ignoreMissing } from '../file/errno.ts';
import { acquireLock, type FileLock } from '../file/lock.ts';
import { type ChainHead, isIntact } from '../hash-chain.ts';
import { type Backlog, backlogFull, linesIn } from './backlog.ts';
import {
  type Findings,
  keepDamaged,
  recoverSpool,
  type Segment,
  segmentPath,
  writePosition,
} from './spool-recovery.ts';

/** The `spool` section of a sink. */
export interface SpoolConfig {
  readonly path: string;
  readonly bytes: number;
  readonly fsync: 'interval' | 'always' | 'never';
}

/** Dependencies of a spool. */
export interface SpoolRuntime extends Findings {
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
  /** Bytes that `next` yielded. */
  let given = 0;
  /** Holds what `next` yielded. */
  const scratch = Buffer.allocUnsafeSlow(scratchBytes);
  let isMoved = false;
  let saving: Promise<void> = Promise.resolve();

  const total = (): number => segments.reduce((sum, { size }) => sum + size, 0);
  const isFull = (segment: Segment): boolean => segment.size >= Math.min(largestSegmentBytes, maxBytes / parts);

  async function start(): Promise<ChainHead> {
    await createDirectory(path);
    lock ??= await acquireLock(join(path, 'spool'), { signal });
    const found = await recoverSpool(path, runtime);
    ({ segments, segment: lastNumber, offset } = found);
    return found.head;
  }

  async function append(lines: Buffer, end: ChainHead): Promise<void> {
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
    lastNumber += 1;
    const segment = { number: lastNumber, size: 0, path: segmentPath(path, lastNumber) };
    segments.push(segment);
    try {
      file = await openAppendFile(segment.path, 0, files);
    } catch (error) {
      segments = segments.filter((each) => each !== segment);
      throw error;
    }
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
    for (let first = segments[0]; first !== undefined; first = segments[0]) {
      if (offset < first.size) {
        const length = Math.min(atMost, first.size - offset);
        await disk.flush(() => file);
        const bytes = await readAt(first.path, offset, length, scratch);
        const lines = linesIn(bytes);
        const damaged = lines.findIndex((line) => !isIntact(line));
        const sound = damaged === -1 ? lines : lines.slice(0, damaged);
        given = sound.reduce((sum, line) => sum + line.length + 1, 0);
        if (sound.length > 0) return sound;
        await skipDamaged(first, lines, length);
        await release();
      } else {
        if (segments.length === 1 && !isFull(first)) return [];
        await drop(first);
      }
    }
    return [];
  }

  /** Names the damage before the next whole record, and keeps its segment. */
  async function skipDamaged(segment: Segment, lines: readonly Buffer[], length: number): Promise<void> {
    const next = lines.findIndex(isIntact);
    const damaged = next === -1 ? lines : lines.slice(0, next);
    given = damaged.reduce((sum, line) => sum + line.length + 1, 0) || length;
    await keepDamaged(segment, { records: Math.max(damaged.length, 1), from: offset, to: offset + given }, runtime);
  }

  async function release(): Promise<void> {
    offset += given;
    given = 0;
    isMoved = true;
  }

  /** Deletes the first segment, all of which is delivered. */
  async function drop(first: Segment): Promise<void> {
    if (segments.length === 1) await finish();
    segments.shift();
    offset = 0;
    isMoved = true;
    // Where it cannot be saved, a start goes on with the first segment that is there.
    await save().catch(ignore);
    await unlink(first.path).catch(ignoreMissing);
  }

  function save(): Promise<void> {
    const write = async () => {
      if (!isMoved || head === undefined) return;
      isMoved = false;
      try {
        await writePosition(path, { segment: segments[0]?.number ?? lastNumber + 1, offset, head });
      } catch (error) {
        isMoved = true;
        throw error;
      }
    };
    saving = saving.catch(ignore).then(write);
    return saving;
  }

  return {
    async open() {
      head ??= await start();
      return head;
    },
    append,
    next,
    release,
    async setAside(line) {
      const target = join(path, 'refused.jsonl');
      const size = (await stat(target).catch(ignoreMissing))?.size ?? 0;
      if (size + line.length >= maxBytes / parts) return false;
      await appendFile(target, Buffer.concat([line, Buffer.from('\n')]), { mode: 0o600 });
      return true;
    },
    bytes: () => total() - offset,
    tick() {
      disk.tick(file);
      save().catch((error: unknown) => log.error({ path, err: error }, 'the position of the spool cannot be saved'));
    },
    resize(bytes) {
      maxBytes = bytes;
    },
    async close() {
      await finish();
      await disk.idle();
      await save().catch(ignore);
      await lock?.release();
      lock = undefined;
    },
  };
}

async function readAt(path: string, from: number, length: number, scratch: Buffer): Promise<Buffer> {
  const handle = await open(path, 'r');
  try {
    const bytes = length <= scratch.length ? scratch.subarray(0, length) : Buffer.allocUnsafe(length);
    const { bytesRead } = await handle.read(bytes, 0, length, from);
    return bytes.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

function ignore(): void {}
