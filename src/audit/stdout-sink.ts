// Audit lines on standard output, or another open descriptor. A line that has begun is always finished before the next.
import fs from 'node:fs';
import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { type ChainHead, chainLines, genesis } from './hash-chain.ts';
import type { SinkTarget } from './sink.ts';
import { commonKeys, type SinkType } from './sink-type.ts';

const schema = z.strictObject({ type: z.literal('stdout'), ...commonKeys });

export const stdoutSink = {
  schema,
  key: () => 'stdout',
  create: (_config, { stdoutFd }) => createStdoutTarget(stdoutFd),
} satisfies SinkType<z.output<typeof schema>>;

const firstRetryMs = 2;
const lastRetryMs = 50;

/** Writes some of it and says how much. */
type WriteSome = (buffer: Buffer) => Promise<number>;

interface Output {
  readonly write: WriteSome;
  readonly close: () => void;
}

/**
 * A chain of its own that begins with the process. Writes never block the event loop, nor a thread that would then hold
 * up the end of the process: a pipe is opened again without blocking (the descriptor may be shared with other processes,
 * whose mode is not ours to change), a socket is written as a stream, and a reader that does not read is waited for, so
 * that the sink's timeout governs. Files and terminals are written by the thread pool.
 */
function createStdoutTarget(fd = 1): SinkTarget {
  let output: Output | undefined;
  let head: ChainHead = genesis;
  /** The end of a batch of which a part was taken: it goes first, or the reader would see a torn line. */
  let remainder: Buffer = Buffer.alloc(0);

  async function open(): Promise<void> {
    output ??= openOutput(fd);
  }

  async function write(bodies: readonly string[]): Promise<void> {
    if (remainder.length > 0) {
      const { left, error } = await push(remainder);
      remainder = left;
      if (error !== undefined) throw error;
    }
    if (bodies.length === 0) return;
    const chained = chainLines(head, bodies);
    const { left, error } = await push(chained.lines);
    if (left.length < chained.lines.length) {
      head = chained.head;
      remainder = left;
    }
    if (error !== undefined) throw error;
  }

  /** Writes all of it, waiting while the reader is slow; yields what could not be written, and why. */
  async function push(buffer: Buffer): Promise<{ left: Buffer; error?: unknown }> {
    output ??= openOutput(fd);
    let left = buffer;
    let retryMs = firstRetryMs;
    while (left.length > 0) {
      try {
        const written = await output.write(left);
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
    output?.close();
    output = undefined;
  }

  return { open, write, tick: async () => {}, close };
}

function openOutput(fd: number): Output {
  const stats = fs.fstatSync(fd);
  if (stats.isSocket()) return openSocket(fd);
  const reopened = stats.isFIFO() ? reopenPipe(fd) : undefined;
  if (reopened === undefined) return { write: (buffer) => writeSome(fd, buffer), close: () => {} };
  return { write: (buffer) => writeSome(reopened, buffer), close: () => fs.closeSync(reopened) };
}

function reopenPipe(fd: number): number | undefined {
  try {
    return fs.openSync(`/proc/self/fd/${fd}`, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
}

function openSocket(fd: number): Output {
  // One stream a descriptor: two would get in each other's way in the event loop.
  const socket = fd === 1 ? process.stdout : new Socket({ fd, readable: false, writable: true }).unref();
  const ignore = () => {};
  socket.on('error', ignore);
  return {
    write: (buffer) =>
      new Promise((resolve, reject) => {
        socket.write(buffer, (error) => (error ? reject(error) : resolve(buffer.length)));
      }),
    // The error listener stays: an error may come after the last write.
    close: ignore,
  };
}

function writeSome(fd: number, buffer: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.write(fd, buffer, (error, written) => (error === null ? resolve(written) : reject(error)));
  });
}
