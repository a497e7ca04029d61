// `npm run test:superset`: the real Apache Superset 6.1.0 and a real Keycloak, with the gateway between them and two people.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { catalogueTests } from './catalogue.ts';
import { createDaemons } from './daemons.ts';
import { embeddedTests } from './embedded.ts';
import { failClosedTests } from './fail-closed.ts';
import { identityTests } from './identity.ts';
import { installSoftware, prepareDatabases, type Software } from './install.ts';
import { outageTests } from './outages.ts';
import { pinTests } from './pins.ts';
import { restTests } from './rest.ts';
import { startServers } from './servers.ts';
import { stockTests } from './stock.ts';
import { wireTests } from './wire.ts';
import { startWorld } from './world.ts';

const daemons = createDaemons();
const folder = mkdtempSync(join(tmpdir(), 'portcullis-superset-'));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => void daemons.stopAll().finally(() => process.exit(1)));
}
process.once('exit', () => {
  daemons.killAll();
  rmSync(folder, { recursive: true, force: true });
});

function say(line: string): void {
  console.log(`superset: ${line}`);
}

/** Undefined where the machine lacks something and the caller said that this is no failure. */
function installOrSkip(): Software | undefined {
  try {
    return installSoftware(say);
  } catch (error) {
    say(`NOT RUN: ${(error as Error).message}`);
    if (!process.argv.includes('--allow-skip')) process.exitCode = 1;
    return undefined;
  }
}

async function run(software: Software): Promise<void> {
  const installation = prepareDatabases(software, say);
  say('starting Keycloak and Superset');
  const servers = await startServers(daemons, installation, folder);
  const world = await startWorld(servers);
  say('started');
  identityTests(world);
  catalogueTests(world);
  pinTests(world);
  restTests(world);
  embeddedTests(world);
  wireTests(world);
  outageTests(world);
  failClosedTests(world);
  stockTests(world);
  after(async () => {
    await world.close();
    await servers.close();
    say('ran in front of Apache Superset 6.1.0 and Keycloak');
  });
}

const software = installOrSkip();
if (software !== undefined) {
  await run(software).catch(async (error: Error) => {
    say(error.message);
    process.exitCode = 1;
    await daemons.stopAll();
  });
}
