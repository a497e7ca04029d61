// `npm run test:superset`: the real Apache Superset 6.1.0 and a real Keycloak, with the gateway between them and two people.
import { after } from 'node:test';
import { catalogueTests } from './catalogue.ts';
import { createDaemons } from './daemons.ts';
import { embeddedTests } from './embedded.ts';
import { failClosedTests } from './fail-closed.ts';
import { identityTests } from './identity.ts';
import { type Installation, install } from './install.ts';
import { outageTests } from './outages.ts';
import { restTests } from './rest.ts';
import { startServers } from './servers.ts';
import { wireTests } from './wire.ts';
import { startWorld } from './world.ts';

const daemons = createDaemons();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => void daemons.stopAll().finally(() => process.exit(1)));
}

function say(line: string): void {
  console.log(`superset: ${line}`);
}

/** Undefined where the machine lacks something and the caller said that this is no failure. */
function installOrSkip(): Installation | undefined {
  try {
    return install(say);
  } catch (error) {
    say(`NOT RUN: ${(error as Error).message}`);
    if (!process.argv.includes('--allow-skip')) process.exitCode = 1;
    return undefined;
  }
}

async function run(installation: Installation): Promise<void> {
  say('starting Keycloak and Superset');
  const servers = await startServers(daemons, installation);
  const world = await startWorld(servers);
  say('started');
  identityTests(world);
  catalogueTests(world);
  restTests(world);
  embeddedTests(world);
  wireTests(world);
  outageTests(world);
  failClosedTests(world);
  after(async () => {
    await world.close();
    await servers.close();
    say('ran in front of Apache Superset 6.1.0 and Keycloak');
  });
}

const installation = installOrSkip();
if (installation !== undefined) {
  await run(installation).catch(async (error: Error) => {
    say(error.message);
    process.exitCode = 1;
    await daemons.stopAll();
  });
}
