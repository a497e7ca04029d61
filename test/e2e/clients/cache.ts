// Where clients that are no dependencies of ours are installed: below node_modules, so that a clean checkout is one without them.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const cache = join(import.meta.dirname, '../../../node_modules/.cache/portcullis-clients');

/** A folder that `install` has filled, now or in an earlier run; what was broken off is begun anew. */
export function installed(name: string, install: (folder: string) => void): string {
  const folder = join(cache, name);
  const complete = join(folder, 'complete');
  if (!existsSync(complete)) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    install(folder);
    writeFileSync(complete, '');
  }
  return folder;
}

/** Runs a command of an installation. Throws an Error that begins with what the machine lacks when it fails. */
export function demand(command: string, args: readonly string[], lack: string, cwd?: string): void {
  const { status, error, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', cwd });
  if (status !== 0) throw new Error(`${lack}\n${error?.message ?? stdout + stderr}`);
}
