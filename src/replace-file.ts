// Atomic replacement of files: a reader sees the old content or the new one, whole, also after a crash.
import { randomBytes } from 'node:crypto';
import { chmod, open, readdir, readlink, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';

/**
 * Writes the content beside the file, flushes it and renames it over the file. A symbolic link stays one: its target is replaced, or created. An
 * existing file keeps its permissions; `mode` is that of a new one. Temporary files of killed processes are removed. Throws the error of the file
 * system, or one for a target that is no regular file; then the file is as it was.
 */
export async function replaceFile(path: string, content: string | Buffer, mode = 0o644): Promise<void> {
  const target = await targetOf(path);
  const folder = dirname(target);
  const found = await stat(target).catch(ignoreMissing);
  if (found?.isFile() === false) throw new Error(`${target} is not a regular file`);
  const kept = found === undefined ? mode : found.mode & 0o777;
  await removeStale(target);
  const temporary = `${temporaryPrefix(target)}${process.pid}.${randomBytes(6).toString('hex')}`;
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

/** The file behind symbolic links, which need not exist. */
async function targetOf(path: string): Promise<string> {
  const real = await realpath(path).catch(ignoreMissing);
  if (real !== undefined) return real;
  const link = await readlink(path).catch(() => undefined);
  return link === undefined ? path : targetOf(resolve(await realpath(dirname(path)), link));
}

function temporaryPrefix(target: string): string {
  return join(dirname(target), `.${basename(target)}.`);
}

/** Removes the temporary files of earlier processes. One that writes the same target meanwhile keeps its own, also in another container. */
async function removeStale(target: string): Promise<void> {
  const prefix = temporaryPrefix(target);
  for (const name of await readdir(dirname(target)).catch(() => [])) {
    const path = join(dirname(target), name);
    if (!path.startsWith(prefix)) continue;
    const [, pid] = /^(\d{1,10})\.[0-9a-f]{12}$/.exec(path.slice(prefix.length)) ?? [];
    if (pid === undefined || (Number(pid) !== process.pid && isAlive(Number(pid)))) continue;
    const written = await stat(path).catch(ignoreMissing);
    if (written !== undefined && written.mtimeMs < performance.timeOrigin) await rm(path, { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // Of another user.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
