// Reader of lines as bytes: split at \n only, never decoded, never longer than an audit line can be.
import { createReadStream } from 'node:fs';

/** Longer than any line that `createEventEncoder` and `chainLines` can make. */
export const maxLineBytes = 1024 * 1024;
/** Read at once. */
export const chunkBytes = 256 * 1024;

/** One line of a file. */
export interface Line {
  readonly bytes: Buffer;
  /** False for the bytes behind the last newline of the file, which are not yet a line, and for the beginning of a run that is too long. */
  readonly terminated: boolean;
}

/** Streams the lines of a file from `start` on. A run without a newline is cut off at `maxLineBytes`, and the rest of it is left out. */
export async function* readLines(path: string, start = 0): AsyncGenerator<Line> {
  for await (const lines of splitLines(createReadStream(path, { start, highWaterMark: chunkBytes }))) yield* lines;
}

/** The same of chunks of bytes: the lines that end in each, together. */
export async function* splitLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<Line[]> {
  const none: Buffer = Buffer.alloc(0);
  let rest = none;
  let isTooLong = false;
  for await (const read of chunks) {
    const chunk = rest.length === 0 ? read : Buffer.concat([rest, read]);
    const lines: Line[] = [];
    let from = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      if (!isTooLong) lines.push({ bytes: chunk.subarray(from, end), terminated: true });
      isTooLong = false;
      from = end + 1;
    }
    rest = isTooLong ? none : chunk.subarray(from);
    if (rest.length > maxLineBytes) {
      lines.push({ bytes: rest, terminated: false });
      isTooLong = true;
      rest = none;
    }
    yield lines;
  }
  if (rest.length > 0) yield [{ bytes: rest, terminated: false }];
}
