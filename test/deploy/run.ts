// `npm run test:deploy`: everything in deploy/ held against the programs that read it, and run where that is possible.
//   npm run test:deploy -- [--allow-skip] [PART…]
import { checkCompose } from './compose.ts';
import { checkImage } from './image.ts';
import { checkHelm, checkKubernetes } from './kubernetes.ts';
import { checkMonitoring } from './monitoring.ts';
import { checkEnvoy, checkNginx } from './proxies.ts';
import { checkSystemd } from './systemd.ts';
import { Lacking } from './tools.ts';

const parts: Readonly<Record<string, () => Promise<void>>> = {
  image: checkImage,
  compose: checkCompose,
  kubernetes: checkKubernetes,
  helm: checkHelm,
  monitoring: checkMonitoring,
  systemd: checkSystemd,
  nginx: checkNginx,
  envoy: checkEnvoy,
};

const words = process.argv.slice(2);
const allowSkip = words.includes('--allow-skip');
const chosen = words.filter((word) => !word.startsWith('--'));
const outcomes = { passed: 0, failed: 0, skipped: 0 };

for (const unknown of chosen.filter((name) => !(name in parts))) {
  console.error(`deploy: there is no part ${unknown}; there are ${Object.keys(parts).join(', ')}`);
  process.exit(2);
}
for (const [name, check] of Object.entries(parts)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  const startedMs = performance.now();
  console.log(`deploy: ${name}`);
  try {
    await check();
    outcomes.passed++;
    console.log(`  ok (${((performance.now() - startedMs) / 1000).toFixed(1)} s)`);
  } catch (error) {
    if (error instanceof Lacking) {
      outcomes.skipped++;
      console.log(`  DID NOT RUN, this machine lacks ${error.message}`);
    } else {
      outcomes.failed++;
      console.log(`  FAILED ${(error as Error).stack}`);
    }
  }
}
const { passed, failed, skipped } = outcomes;
console.log(`deploy: ${passed} passed, ${failed} failed, ${skipped} skipped`);
if (failed > 0 || (skipped > 0 && !allowSkip)) process.exitCode = 1;
