// One reading of all files of a configuration, kept so that other processes load exactly the same bytes.
import type { ReadFile } from './files.ts';

/** The content of each path, or the reason for which it could not be read. */
export type FilesRead = ReadonlyMap<string, Uint8Array | { readonly problem: string }>;

/** Reads by `read`, and keeps what comes of it. */
export function recordReading(read: ReadFile): { readonly readFile: ReadFile; readonly reading: FilesRead } {
  const reading = new Map<string, Uint8Array | { readonly problem: string }>();
  return {
    reading,
    async readFile(path, maxBytes) {
      try {
        const content = await read(path, maxBytes);
        reading.set(path, content);
        return content;
      } catch (error) {
        reading.set(path, { problem: (error as Error).message });
        throw error;
      }
    },
  };
}

/** Reads from a reading instead of the disk. Throws for a path that is not in it. */
export function replayReading(reading: FilesRead): ReadFile {
  return async (path) => {
    const found = reading.get(path) ?? { problem: 'it was not read' };
    if ('problem' in found) throw new Error(found.problem);
    return Buffer.from(found.buffer, found.byteOffset, found.byteLength);
  };
}
