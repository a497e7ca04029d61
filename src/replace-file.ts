// Atomic replacement of files: a reader sees the old content or the new one, whole, also after a crash.
import { randomBytes } from 'node:crypto';
import { chmod, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/**
 * Writes the content beside the file, flushes it and renames it over the file. A symbolic link stays one: its target is replaced. An existing file
 * keeps its permissions; `mode` is that of a new one. Throws the error of the file system; then the file is as it was.
 */
export async function replaceFile(path: string, content: string | Buffer, mode = 0o644): Promise<void> {
  const target = await realpath(path).catch(() => path);
  const folder = dirname(target);
  const kept = await stat(target).then(
    (found) => found.mode & 0o777,
    () => mode,
  );
  const temporary = join(folder, `.${basename(target)}.${randomBytes(6).toString('hex')}`);
  try {
    const file = await open(temporary, 'wx', kept);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    // The process may have a umask.
    await chmod(temporary, kept);
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  const directory = await open(folder, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
