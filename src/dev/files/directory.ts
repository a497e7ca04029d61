// Directory of the files that the development environment writes.
import { access, constants, copyFile, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve, sep } from 'node:path';
import { configFileMark, isEdited } from './config-file.ts';
import { tourScriptMark } from './tour-script.ts';
import { tryScriptMark } from './try-script.ts';

/** The beginnings of the files that are written again at each start. */
const marks = { 'gateway.yaml': configFileMark, 'try.sh': tryScriptMark, 'tour.sh': tourScriptMark };

/**
 * The directory of the written files. Without a wanted one it is temporary, and removed by the closer that is added. Throws an Error of one line for
 * one that cannot be used, or that holds files of somebody else.
 */
export async function prepareDirectory(wanted: string | undefined, closers: (() => Promise<void>)[]): Promise<string> {
  if (wanted === undefined) {
    const directory = await mkdtemp(join(tmpdir(), 'portcullis-dev-'));
    closers.push(() => rm(directory, { recursive: true, force: true }));
    return directory;
  }
  const directory = resolve(wanted);
  try {
    await createDirectory(directory);
    await access(join(directory, sep), constants.W_OK);
  } catch (cause) {
    throw new Error(`--directory cannot be used: ${(cause as Error).message}`, { cause });
  }
  for (const [name, mark] of Object.entries(marks)) {
    const existing = await readFile(join(directory, name), 'utf8').catch(() => mark);
    if (existing.startsWith(mark)) continue;
    throw new Error(`${directory} holds a ${name} of its own; choose another --directory`);
  }
  return directory;
}

/** Copies an edited file to the first free name of `.1`, `.2`, …, before it is written again. The copy's path; undefined without one. */
export async function keepEditedFile(path: string): Promise<string | undefined> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  if (text === undefined || !isEdited(text)) return undefined;
  for (let number = 1; ; number++) {
    const copy = `${path}.${number}`;
    try {
      await copyFile(path, copy, constants.COPYFILE_EXCL);
      return copy;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

/** Not recursive: Node's recursive form never returns on file systems that refuse new directories with ENOENT, such as /proc. */
async function createDirectory(path: string): Promise<void> {
  await mkdir(path, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
}
