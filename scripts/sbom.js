// Software bill of materials of the package in CycloneDX, on standard output: what an install has, and what dist holds.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const manifest = JSON.parse(read('package.json'));
/** The sections of dist/LICENSES.txt begin with a name, a version and a licence. */
const bundled = [...read('dist/LICENSES.txt').matchAll(/^(\S+) (\d\S*): .+$/gm)].map(
  ([, name, version]) => `${name}@${version}`,
);

const all = everything();
const self = all.metadata.component;
// npm names the root after its folder.
self.name = manifest.name;
const needs = new Map(all.dependencies.map(({ ref, dependsOn = [] }) => [ref, dependsOn]));
const kept = new Set();
for (const ref of needs.get(self['bom-ref'])) if (nameOf(ref) in manifest.dependencies) keep(ref);
for (const ref of bundled) kept.add(ref);
const components = all.components.filter((each) => kept.has(each['bom-ref']));
const dependencies = [
  { ref: self['bom-ref'], dependsOn: [...kept] },
  ...[...kept].map((ref) => ({ ref, dependsOn: needs.get(ref).filter((other) => kept.has(other)) })),
];
process.stdout.write(`${JSON.stringify({ ...all, components, dependencies }, null, 2)}\n`);

function keep(ref) {
  if (kept.has(ref)) return;
  kept.add(ref);
  for (const other of needs.get(ref)) keep(other);
}

function nameOf(ref) {
  return ref.slice(0, ref.lastIndexOf('@'));
}

/** Of the lock file, with what only the repository needs: npm's own selection for production misses packages. */
function everything() {
  const args = ['sbom', '--sbom-format=cyclonedx', '--sbom-type=application', '--package-lock-only'];
  const { status, stdout, stderr } = spawnSync('npm', args, { cwd: root, encoding: 'utf8', maxBuffer: 64 << 20 });
  if (status === 0) return JSON.parse(stdout);
  console.error(stderr);
  process.exit(1);
}

function read(file) {
  try {
    return readFileSync(join(root, file), 'utf8');
  } catch {
    console.error(`${file} is not there: run \`npm run build\` first.`);
    process.exit(1);
  }
}
