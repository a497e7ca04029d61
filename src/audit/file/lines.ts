// Reader of the lines of a file, as bytes: split at \n only, never decoded, never longer than an audit line can be.
import { createReadStream } from 'node:fs';

/** Longer than any line that `createEventEncoder` and `chainLines` can make. */
export const maxLineBytes = 1024 * 1024;

/** One line of a file. */
export interface Line {
  readonly bytes: Buffer;
  /** False for the bytes behind the last newline of the file, which are not yet a line. */
  readonly terminated: boolean;
}

/** Streams the lines of a file from `start` on. A run without a newline is cut off at `maxLineBytes` and given as unterminated. */
export async function* readLines(path: string, start = 0): AsyncGenerator<Line> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const read of createReadStream(path, { start, highWaterMark: 256 * 1024 })) {
    const chunk: Buffer = rest.length === 0 ? read : Buffer.concat([rest, read]);
    let from = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      yield { bytes: chunk.subarray(from, end), terminated: true };
      from = end + 1;
    }
    rest = chunk.subarray(from);
    if (rest.length > maxLineBytes) break;
  }
  if (rest.length > 0) yield { bytes: rest, terminated: false };
}
