// JSON lines of a file that is still being written.
import { readFile } from 'node:fs/promises';

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
