// Release: every step up to the publication, with `npm publish --dry-run` at the end. docs/release.md has the rest.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const { name, version, repository } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const problems = [
  run('git', 'status', '--porcelain') !== '' && 'there are changes that are not committed',
  !new RegExp(`^## \\[?${version.replaceAll('.', '\\.')}\\b`, 'm').test(
    readFileSync(join(root, 'CHANGELOG.md'), 'utf8'),
  ) && `CHANGELOG.md has no section for ${version}`,
  repository === undefined &&
    'package.json names no repository, which provenance is checked against: npm pkg set repository=github:OWNER/NAME',
].filter((problem) => problem !== false);

for (const step of ['typecheck', 'lint', 'test:package']) {
  console.log(`release: ${step}`);
  execFileSync('npm', ['run', '--silent', step], { cwd: root, stdio: 'inherit' });
}
const bom = join(root, `${name}-${version}.cdx.json`);
writeFileSync(bom, run('npm', 'run', '--silent', 'sbom'));
console.log(`release: ${bom}`);
execFileSync('npm', ['publish', '--dry-run', '--access=public', '--loglevel=notice'], { cwd: root, stdio: 'inherit' });
for (const problem of problems) console.error(`release: before publication: ${problem}`);
if (problems.length > 0) process.exitCode = 1;

function run(command, ...args) {
  return execFileSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 64 << 20 });
}
