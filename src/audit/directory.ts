// The directory of the audit file, made where it is missing.
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Like `mkdir -p`. Node's own recursive form never returns on file systems that refuse new directories with ENOENT, such as /proc. */
export async function createDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o750 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    const parent = dirname(path);
    if (code !== 'ENOENT' || parent === path) throw error;
    await createDirectory(parent);
    await mkdir(path, { mode: 0o750 });
  }
}
