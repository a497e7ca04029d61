// Follower of an audit log: the bytes of its file, of what is appended to it, and of the file that takes its place at a rotation.
import { type FileHandle, open, stat } from 'node:fs/promises';
import { ignoreMissing } from '../sinks/file/errno.ts';
import { chunkBytes } from '../sinks/file/lines.ts';

/** Options of `followFile`. */
export interface FollowOptions {
  /** Ends the following. */
  readonly signal: AbortSignal;
  /** Waits before the next look at the file. */
  readonly pause: () => Promise<unknown>;
  /** Told when the file is caught up with for the first time. */
  readonly caughtUp: () => void;
}

/**
 * Yields the bytes of a file from its start, then those that are appended. A file that takes its name is read from its start, behind the rest of the
 * one before; one that was cut, too. Throws when the file cannot be opened at first.
 */
export async function* followFile(path: string, { signal, pause, caughtUp }: FollowOptions): AsyncGenerator<Buffer> {
  let handle = await open(path, 'r');
  let isCaughtUp = false;
  try {
    for (let position = 0; !signal.aborted; ) {
      const chunk = await readAt(handle, position);
      if (chunk.length > 0) {
        position += chunk.length;
        yield chunk;
        continue;
      }
      if (!isCaughtUp) caughtUp();
      isCaughtUp = true;
      const { ino, size } = await handle.stat();
      if (size < position) {
        position = 0;
        continue;
      }
      const named = await stat(path).catch(ignoreMissing);
      if (named !== undefined && named.ino !== ino) {
        // Nothing is appended any more to a file that has lost its name, but something may have been since it was read.
        for (let rest = await readAt(handle, position); rest.length > 0; rest = await readAt(handle, position)) {
          position += rest.length;
          yield rest;
        }
        const next = await open(path, 'r').catch(ignoreMissing);
        if (next !== undefined) {
          await handle.close();
          handle = next;
          position = 0;
          continue;
        }
      }
      await pause();
    }
  } finally {
    await handle.close();
  }
}

async function readAt(handle: FileHandle, position: number): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read({ buffer: Buffer.allocUnsafe(chunkBytes), position });
  return buffer.subarray(0, bytesRead);
}
