// JSON lines of a file that is still being written.
import { open, readFile } from 'node:fs/promises';

/** The lines that are complete: a last line without its line end is not yet a line. */
export function wholeLines(text: string): string[] {
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter(Boolean);
}

/** Reads the complete lines as JSON. */
export async function readJsonLines<T>(file: string): Promise<T[]> {
  return wholeLines(await readFile(file, 'utf8')).map((line) => JSON.parse(line) as T);
}

/** Reads them again and again, each line once; from the start where another file is there, or a shorter one. */
export function followJsonLines<T>(file: string): () => Promise<readonly T[]> {
  let inode = 0;
  let offset = 0;
  let lines: readonly T[] = [];
  async function readOn(): Promise<readonly T[]> {
    const handle = await open(file);
    try {
      const { ino, size } = await handle.stat();
      if (ino !== inode || size < offset) [inode, offset, lines] = [ino, 0, []];
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - offset), 0, size - offset, offset);
      const whole = buffer.subarray(0, buffer.subarray(0, bytesRead).lastIndexOf('\n') + 1);
      if (whole.length > 0) lines = [...lines, ...wholeLines(whole.toString()).map((line) => JSON.parse(line) as T)];
      offset += whole.length;
      return lines;
    } finally {
      await handle.close();
    }
  }
  let last: Promise<unknown> = Promise.resolve();
  return () => {
    // One after the other: two at once would read the same lines.
    const next = last.then(readOn, readOn);
    last = next;
    return next;
  };
}
