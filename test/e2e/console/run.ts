// `npm run test:console`: the console in a real browser. Debian's Chromium is installed where there is none and apt-get may.
//   npm run test:console -- [--allow-skip] [--photographs FOLDER] [PART…]
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { browserProgram, programs } from './browser.ts';

const folder = import.meta.dirname;
const parts = readdirSync(folder)
  .filter((name) => name.endsWith('.test.ts'))
  .map((name) => name.replace('.test.ts', ''))
  .sort();

const words = process.argv.slice(2);
const place = words.indexOf('--photographs');
const photographs = place === -1 ? undefined : words.splice(place, 2)[1];
if (place !== -1 && photographs === undefined) {
  console.error('console: --photographs needs a folder');
  process.exit(2);
}
const chosen = words.filter((word) => !word.startsWith('--'));
for (const unknown of chosen.filter((name) => !parts.includes(name))) {
  console.error(`console: there is no part ${unknown}; there are ${parts.join(', ')}`);
  process.exit(2);
}
if (browserProgram() === undefined) {
  console.log('console: installing Chromium; the first time this takes a minute');
  spawnSync('apt-get', ['update', '-qq'], { stdio: 'ignore' });
  spawnSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'chromium'], { stdio: 'ignore' });
}
if (browserProgram() === undefined) {
  const places = programs.filter((path) => path !== undefined).join(', ');
  console.log(`console: DID NOT RUN, this machine lacks Chromium (looked for ${places}; CHROMIUM=FILE names another)`);
  process.exit(words.includes('--allow-skip') ? 0 : 1);
}
const files = (chosen.length > 0 ? chosen : parts).map((name) => join(folder, `${name}.test.ts`));
const env = { ...process.env, ...(photographs !== undefined && { PHOTOGRAPHS: resolve(photographs) }) };
const { status } = spawnSync(process.execPath, ['--test', '--test-concurrency=1', ...files], { stdio: 'inherit', env });
process.exit(status ?? 1);
