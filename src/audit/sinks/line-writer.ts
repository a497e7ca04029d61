// Output of whole lines to an open descriptor. A line that has begun is finished before the next.
import fs from 'node:fs';
import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { codeOf } from './file/errno.ts';

/** Writes lines; one method is called at a time and waited for. */
export interface LineWriter {
  /** Writes the rest of what an earlier write has begun. */
  finish(): Promise<void>;
  /** Writes all of the lines or throws. Calls `begun` where some bytes got out, also before it throws: `finish` then writes the rest. */
  write(lines: Uint8Array, begun: () => void): Promise<void>;
  close(): void;
}

const firstRetryMs = 2;
const lastRetryMs = 50;

interface Output {
  /** Writes some of it and yields how much. */
  readonly write: (bytes: Buffer) => Promise<number>;
  readonly close: () => void;
}

/**
 * Writes never block the event loop, nor a thread that would then hold up the end of the process: a pipe is opened again without blocking (the
 * descriptor may be shared with other processes, whose mode is not ours to change), a socket is written as a stream, and a reader that does not read
 * is waited for, so that the sink's timeout governs. Files and terminals are written by the thread pool.
 *
 * Node's streams and sonic-boom do not say how much of a failed write was taken: the reader that comes next would see a
 * torn line, or lines that were refused.
 */
export function createLineWriter(fd: number): LineWriter {
  let output: Output | undefined;
  /** Of lines that have begun. */
  let remainder: Buffer = Buffer.alloc(0);

  async function finish(): Promise<void> {
    output ??= openOutput(fd);
    let retryMs = firstRetryMs;
    while (remainder.length > 0) {
      try {
        remainder = remainder.subarray(await output.write(remainder));
        retryMs = firstRetryMs;
      } catch (error) {
        // The pipe is full.
        if (codeOf(error) !== 'EAGAIN') throw error;
        await delay(retryMs);
        retryMs = Math.min(retryMs * 2, lastRetryMs);
      }
    }
  }

  return {
    finish,
    async write(lines, begun) {
      remainder = Buffer.from(lines.buffer, lines.byteOffset, lines.byteLength);
      try {
        await finish();
      } finally {
        const isBegun = remainder.length < lines.length;
        if (isBegun) begun();
        // Lines that have not begun are not written later: their callers are told that they failed.
        remainder = isBegun ? Buffer.from(remainder) : Buffer.alloc(0);
      }
    },
    close() {
      output?.close();
      output = undefined;
    },
  };
}

function openOutput(fd: number): Output {
  const stats = fs.fstatSync(fd);
  if (stats.isSocket()) return openSocket(fd);
  const reopened = stats.isFIFO() ? reopenPipe(fd) : undefined;
  const used = reopened ?? fd;
  return {
    write: (bytes) => writeSome(used, bytes),
    close: () => {
      if (reopened !== undefined) fs.closeSync(reopened);
    },
  };
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
  // The listener stays after closing: an error may come after the last write.
  socket.on('error', ignore);
  return {
    write: (bytes) =>
      new Promise((resolve, reject) => {
        socket.write(bytes, (error) => (error ? reject(error) : resolve(bytes.length)));
      }),
    close: ignore,
  };
}

function writeSome(fd: number, bytes: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.write(fd, bytes, (error, written) => (error === null ? resolve(written) : reject(error)));
  });
}
