// `npm run test:scale`: several gateways as one, with the real programs that they share and ship to. Debian's packages are unpacked into a cache.
//   npm run test:scale -- [--allow-skip] [--full] [PART…]    --full: long runs in place of their short forms (SCALE_FULL=1)
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../deploy/tools.ts';
import { lackOf } from './lacks.ts';

const folder = join(root, 'test/scale');
const parts = readdirSync(folder)
  .filter((name) => name.endsWith('.test.ts'))
  .map((name) => name.replace('.test.ts', ''))
  .sort();

const words = process.argv.slice(2);
const chosen = words.filter((word) => !word.startsWith('--'));
for (const unknown of chosen.filter((name) => !parts.includes(name))) {
  console.error(`scale: there is no part ${unknown}; there are ${parts.join(', ')}`);
  process.exit(2);
}
const lack = lackOf();
if (lack !== undefined) {
  console.log(`scale: DID NOT RUN, this machine lacks ${lack}`);
  process.exit(words.includes('--allow-skip') ? 0 : 1);
}
const files = (chosen.length > 0 ? chosen : parts).map((name) => join(folder, `${name}.test.ts`));
const env = { ...process.env, ...(words.includes('--full') && { SCALE_FULL: '1' }) };
const { status } = spawnSync(process.execPath, ['--test', '--test-concurrency=1', ...files], {
  cwd: root,
  stdio: 'inherit',
  env,
});
process.exit(status ?? 1);
