// The policy tests of gateway.example.yaml and deploy/superset, run by the built command; they reach every rule.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exampleFiles, supersetFiles } from '../config/example-files.ts';
import { writeFiles } from '../config/support.ts';

const root = join(import.meta.dirname, '../..');

/** Runs the cases beside a configuration whose named files are made for it. */
function run(folder: string, name: string, files: Readonly<Record<string, string>>): boolean {
  const copy = mkdtempSync(join(tmpdir(), 'portcullis-policy-'));
  try {
    writeFiles(copy, files);
    for (const file of [`${name}.yaml`, `${name}.cases.yaml`]) copyFileSync(join(root, folder, file), join(copy, file));
    const command = [join(root, 'dist/main.js'), 'test', '--full-coverage', join(copy, `${name}.cases.yaml`)];
    return spawnSync(process.execPath, command, { stdio: 'inherit' }).status === 0;
  } finally {
    rmSync(copy, { recursive: true });
  }
}

const passed = [
  run('.', 'gateway.example', await exampleFiles(Date.now())),
  run('deploy/superset', 'gateway', await supersetFiles(Date.now())),
];
process.exitCode = passed.every(Boolean) ? 0 : 1;
