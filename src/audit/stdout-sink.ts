// Audit lines on standard output, or another open descriptor. A line that has begun is always finished before the next.
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { type ChainHead, chainLines, genesis } from './chain.ts';
import type { SinkTarget } from './sink.ts';

const firstRetryMs = 2;
const lastRetryMs = 50;

/**
 * A chain of its own that begins with the process. Writes never block the event loop: a pipe is opened again without
 * blocking (the descriptor itself may be shared with other processes, whose mode is not ours to change) and a reader
 * that does not read is waited for, so that the sink's timeout governs; other descriptors are written by the thread pool.
 */
export function createStdoutTarget(sharedFd = 1): SinkTarget {
  let fd: number | undefined;
  let head: ChainHead = genesis;
  /** The end of a batch of which a part was taken: it goes first, or the reader would see a torn line. */
  let remainder: Buffer = Buffer.alloc(0);

  async function open(): Promise<void> {
    fd ??= await openUnblocked(sharedFd);
  }

  async function write(bodies: readonly string[]): Promise<void> {
    if (remainder.length > 0) {
      const { left, error } = await push(remainder);
      remainder = left;
      if (error !== undefined) throw error;
    }
    if (bodies.length === 0) return;
    const chained = chainLines(head, bodies);
    const buffer = Buffer.from(chained.lines);
    const { left, error } = await push(buffer);
    if (left.length < buffer.length) {
      head = chained.head;
      remainder = left;
    }
    if (error !== undefined) throw error;
  }

  /** Writes all of it, waiting while the reader is slow; yields what could not be written, and why. */
  async function push(buffer: Buffer): Promise<{ left: Buffer; error?: unknown }> {
    let left = buffer;
    let retryMs = firstRetryMs;
    while (left.length > 0) {
      try {
        const written = await writeSome(fd ?? sharedFd, left);
        left = left.subarray(written);
        retryMs = firstRetryMs;
      } catch (error) {
        if (!(error instanceof Error) || !('code' in error) || error.code !== 'EAGAIN') return { left, error };
        await delay(retryMs);
        retryMs = Math.min(retryMs * 2, lastRetryMs);
      }
    }
    return { left };
  }

  async function close(): Promise<void> {
    if (fd !== undefined && fd !== sharedFd) fs.closeSync(fd);
    fd = undefined;
  }

  return { open, write, tick: async () => {}, close };
}

async function openUnblocked(fd: number): Promise<number> {
  const stats = fs.fstatSync(fd);
  if (!stats.isFIFO()) return fd;
  try {
    return fs.openSync(`/proc/self/fd/${fd}`, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK);
  } catch {
    return fd;
  }
}

function writeSome(fd: number, buffer: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.write(fd, buffer, (error, written) => (error === null ? resolve(written) : reject(error)));
  });
}
