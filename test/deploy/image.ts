// The container image without a container engine: BuildKit's own checks, then the steps of every stage in plain directories, and the result
// started as its account on a read-only tree that holds nothing else.
import { strict as assert } from 'node:assert';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { until } from '../support/until.ts';
import { startScene } from './scene.ts';
import { buildStages, type Image } from './stages.ts';
import { deployTools, Lacking, root, run } from './tools.ts';

export async function checkImage(): Promise<void> {
  if (process.getuid?.() !== 0) throw new Lacking('the rights to run it in a root directory of its own (root)');
  const scene = await startScene();
  try {
    const image = buildStages(deployTools(), join(scene.directory, 'image'));
    checkContent(image);
    const { folder, adminPort, running, expectAuthentication } = await scene.serve({ type: 'stdout' }, (folder) =>
      inside(image, folder, [...image.entrypoint, ...image.command]),
    );
    const status = readFileSync(`/proc/${running.child.pid}/status`, 'utf8');
    assert.match(status, /^Uid:\t65532\t65532\t65532\t65532$/m, 'it runs as its own account');
    const mounts = readFileSync(`/proc/${running.child.pid}/mountinfo`, 'utf8');
    assert.match(mounts, /^\S+ \S+ \S+ \S+ \/ ro,/m, 'on a read-only root');
    assert.match(status, /^CapEff:\t0+$/m, 'with no capability');

    await expectAuthentication();
    assert.equal(scene.upstream.requests.length, 1);
    await until(
      () => /"stage":"decided".*"decision":"allow"/.test(running.output()),
      'the audit record is on standard output',
    );

    const asked = healthCheck(image, folder, adminPort);
    assert.equal(asked(), 0, 'HEALTHCHECK: healthy');
    assert.equal(await running.stop('SIGTERM'), 0, 'SIGTERM drains');
    assert.equal(asked(), 1, 'HEALTHCHECK: not there any more');
  } finally {
    await scene.close();
  }
}

/** What runs is in it, what builds, tests or develops is not. */
function checkContent(image: Image): void {
  const needed = neededPackages();
  const there = readdirSync(join(image.root, 'app/node_modules'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('/package.json') && isPackage(dirname(path)))
    .map((path) => `node_modules/${dirname(path)}`);
  assert.deepEqual(there.sort(), needed.sort(), 'the image holds what `serve` may need and nothing else');
  assert.deepEqual(readdirSync(join(image.root, 'app')).sort(), ['LICENSE', 'dist', 'node_modules', 'package.json']);
  assert.ok(!existsSync(join(image.root, 'app/dist/vendor')), 'no package of `dev`');
  assert.equal(image.user, '65532:65532');
  assert.equal(statSync(join(image.root, 'var/log/portcullis')).uid, 65532, 'audit volumes begin writable');
  for (const shell of ['bin/sh', 'usr/bin/sh', 'usr/local/bin/npm']) assert.ok(!existsSync(join(image.root, shell)));
  for (const label of ['title', 'description', 'licenses', 'version', 'revision', 'base.name']) {
    assert.ok(image.labels[`org.opencontainers.image.${label}`], `label ${label}`);
  }
}

interface LockedPackage {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

/** The places of the packages that `serve` may need, its optional peers too, and of all that they need. */
function neededPackages(): string[] {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Readonly<Record<string, LockedPackage>>;
  };
  const found = new Set<string>();
  const visit = (place: string, names: readonly string[]): void => {
    for (const name of names) {
      // As Node looks for it: in the package, then in each one around it.
      let around = place;
      while (around !== '' && packages[`${around}/node_modules/${name}`] === undefined)
        around = around.slice(0, Math.max(around.lastIndexOf('/node_modules/'), 0));
      const at = around === '' ? `node_modules/${name}` : `${around}/node_modules/${name}`;
      const locked = packages[at];
      if (locked === undefined || found.has(at)) continue;
      found.add(at);
      visit(at, Object.keys({ ...locked.dependencies, ...locked.optionalDependencies, ...locked.peerDependencies }));
    }
  };
  const { dependencies, peerDependencies } = packages['']!;
  visit('', Object.keys({ ...dependencies, ...peerDependencies }));
  return [...found];
}

/** `a`, `@a/b` and the same below a `node_modules` inside; not a package.json that lies deeper in a package. */
function isPackage(path: string): boolean {
  const inner = path.split('node_modules/').at(-1)!;
  return inner.split('/').length === (inner.startsWith('@') ? 2 : 1);
}

/** The command that runs `words` in the image as a container engine would: its own root, read-only, its account, no new privileges. */
function inside(image: Image, configuration: string, words: readonly string[], env = image.env): readonly string[] {
  const script = `
    set -e
    mount --bind "$0" "$0"
    mount --bind "$1" "$0/etc/portcullis"
    for each in dev proc; do mount --rbind "/$each" "$0/$each"; done
    mount -o remount,bind,ro "$0/etc/portcullis"
    mount -o remount,bind,ro "$0"
    root=$0; shift
    exec setpriv --no-new-privs chroot --userspec=${image.user} "$root" "$@"`;
  for (const folder of ['etc/portcullis', 'dev', 'proc']) mkdirSync(join(image.root, folder), { recursive: true });
  const settings = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  // There is no `env` in the image: the environment is set outside, where PATH finds the words that the image names without a path.
  const program = words[0] === 'node' ? '/usr/local/bin/node' : words[0]!;
  const shell = ['sh', '-c', script, image.root, configuration, program, ...words.slice(1)];
  return ['env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', ...settings, 'unshare', '--mount', ...shell];
}

function healthCheck(image: Image, configuration: string, adminPort: number): () => number {
  const env = { ...image.env, PORTCULLIS_ADMIN: `http://127.0.0.1:${adminPort}` };
  const [kind, ...words] = image.healthCheck;
  assert.equal(kind, 'CMD', 'HEALTHCHECK needs no shell');
  const [command, ...args] = inside(image, configuration, words, env);
  return () => {
    try {
      run(command!, args);
      return 0;
    } catch {
      return 1;
    }
  };
}
