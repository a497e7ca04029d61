// A file opened for appending: its descriptor and the number of bytes that are known to be written.
import fs from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';

/** The calls on the path of a record; an argument, so that tests can make a disk slow or broken. */
export type FileCalls = Pick<typeof fs, 'write' | 'fdatasync' | 'ftruncate'>;

/** An open file that is only appended to. */
export interface AppendFile {
  readonly inode: number;
  /** Bytes in the file: where the next line begins. */
  size(): number;
  /** Writes all of it or throws the system's error; then a part may have been written, which `size` counts. */
  write(bytes: Buffer): Promise<void>;
  /** Cuts the file back to so many bytes. */
  cut(bytes: number): Promise<void>;
  /** Resolves when all that was written is on the disk. */
  sync(): Promise<void>;
  /** False when the descriptor was closed, or closed and given to something else. */
  isOpen(): Promise<boolean>;
  close(): Promise<void>;
}

/** Opens the file at the path, which has `size` bytes, or creates it. */
export async function openAppendFile(path: string, size: number, files: FileCalls): Promise<AppendFile> {
  const created = !fs.existsSync(path);
  const fd = await promised<number>((done) => fs.open(path, 'a', 0o600, done));
  // A new name survives a power loss only when its directory is on the disk too.
  if (created) await syncDirectory(dirname(path)).catch(ignore);
  const inode = (await promised<fs.Stats>((done) => fs.fstat(fd, done))).ino;
  let end = size;

  async function write(bytes: Buffer): Promise<void> {
    let from = 0;
    while (from < bytes.length) {
      const written = await promised<number>((done) => files.write(fd, bytes, from, bytes.length - from, null, done));
      if (written === 0) throw new Error(`${path}: nothing was written`);
      from += written;
      end += written;
    }
  }

  return {
    inode,
    size: () => end,
    write,
    async cut(bytes) {
      await promised<void>((done) => files.ftruncate(fd, bytes, done));
      end = bytes;
    },
    sync: () => promised<void>((done) => files.fdatasync(fd, done)),
    async isOpen() {
      const found = await promised<fs.Stats>((done) => fs.fstat(fd, done)).catch(ignore);
      return found?.ino === inode;
    },
    close: () => promised<void>((done) => fs.close(fd, done)),
  };
}

/** Makes the names in a directory durable. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function promised<T>(call: (done: (error: NodeJS.ErrnoException | null, result?: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    call((error, result) => (error === null || error === undefined ? resolve(result as T) : reject(error)));
  });
}

function ignore(): undefined {}

/**
 * Like `mkdir -p`; yields what was created, outermost first. Node's own recursive form never returns on file systems that refuse new directories
 * with ENOENT, such as /proc.
 */
export async function createDirectory(path: string): Promise<string[]> {
  try {
    await mkdir(path, { mode: 0o750 });
    return [path];
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return [];
    const parent = dirname(path);
    if (code !== 'ENOENT' || parent === path) throw error;
    const created = await createDirectory(parent);
    await mkdir(path, { mode: 0o750 });
    return [...created, path];
  }
}
