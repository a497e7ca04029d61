// Folders for software that is no dependency of ours: below node_modules, so that a clean checkout is one without it.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A folder that `install` has filled, now or in an earlier run; what was broken off is begun anew. */
export type Installed = (name: string, install: (folder: string) => void) => string;

export const installed = createCache('portcullis-clients');

/** `name` is the folder of the cache. */
export function createCache(name: string): Installed {
  const cache = join(import.meta.dirname, '../../../node_modules/.cache', name);
  return (part, install) => {
    const folder = join(cache, part);
    const complete = join(folder, 'complete');
    if (!existsSync(complete)) {
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder, { recursive: true });
      install(folder);
      writeFileSync(complete, '');
    }
    return folder;
  };
}

/** Runs a command of an installation. Throws an Error that begins with what the machine lacks when it fails. */
export function demand(
  command: string,
  args: readonly string[],
  lack: string,
  cwd?: string,
  env?: Readonly<Record<string, string>>,
): void {
  const { status, error, stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    cwd,
    env: { ...process.env, ...env },
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status !== 0) throw new Error(`${lack}\n${error?.message ?? (stdout + stderr).slice(-4000)}`);
}

/** The folder of an npm package of this version with what it depends on. Throws an Error that says what this machine lacks. */
export function npmPackage(name: string, version: string): string {
  const pinned = `${name}@${version}`;
  const folder = installed(`${name.replaceAll('/', '-')}-${version}`, (empty) => {
    const options = ['--prefix', empty, '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel', 'error'];
    demand('npm', ['install', ...options, pinned], `npm cannot install ${pinned}`, empty);
  });
  return join(folder, 'node_modules', name);
}
