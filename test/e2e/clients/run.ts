// `npm run test:clients`: clients that are not written in our language or not ours to depend on, through a real gateway.
//   npm run test:clients -- [--allow-skip] [--write] [CLIENT…]
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { driveInspector, inspectorVersion, installInspector } from './inspector.ts';
import { BuildError, type ClientProgram, clientPrograms } from './programs.ts';
import { drivePython, installPython } from './python.ts';
import { type Program, runScenario } from './scenario.ts';
import { type Stage, startStage } from './stage.ts';
import { compareTable, type Row } from './table.ts';
import { driveWebSockets, startPythonEcho } from './websocket.ts';

const words = process.argv.slice(2);
const chosen = words.filter((word) => !word.startsWith('--'));
const isChosen = (name: string) => chosen.length === 0 || chosen.includes(name);
const names = [...clientPrograms.map(({ name }) => name), 'python', 'websockets', 'inspector'];
let failed = 0;
let skipped = 0;
const rows: Row[] = [];

for (const unknown of chosen.filter((name) => !names.includes(name))) {
  console.error(`clients: there is no ${unknown}; there are ${names.join(', ')}`);
  process.exit(2);
}

/** Undefined where the machine lacks something, or the build fails. */
function prepared<T>(name: string, prepare: () => T): T | undefined {
  try {
    return prepare();
  } catch (error) {
    const { message } = error as Error;
    if (error instanceof BuildError) failed++;
    else skipped++;
    console.log(
      `  ${name}: ${error instanceof BuildError ? 'FAILED' : 'DID NOT RUN, this machine lacks something:'} ${message}`,
    );
    return undefined;
  }
}

async function attempt(name: string, run: () => Promise<void>): Promise<void> {
  const startedMs = performance.now();
  try {
    await run();
    console.log(`  ${name}: ok (${((performance.now() - startedMs) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed++;
    console.log(`  ${name}: FAILED ${(error as Error).message}`);
  }
}

/** Each client has a stage of its own. */
async function onStage(run: (stage: Stage, caFile: string) => Promise<void>, webSocketUpstream?: string) {
  const stage = await startStage(webSocketUpstream);
  try {
    const caFile = join(stage.scene.gateway.directory, 'ca.crt');
    await writeFile(caFile, stage.scene.caPem);
    await run(stage, caFile);
  } finally {
    await stage.close();
  }
}

async function runClient({ name, title, version, endpoints, ownLogIn }: ClientProgram, program: Program) {
  for (const endpoint of endpoints) {
    await attempt(`${name} ${endpoint}`, () =>
      onStage(async (stage, caFile) => {
        const outcomes = await runScenario(stage, program, endpoint, caFile, ownLogIn);
        rows.push({ client: title, version, server: endpoint === '/v1' ? 'sessions' : '2026-07-28', outcomes });
      }),
    );
  }
}

for (const client of clientPrograms.filter(({ name }) => isChosen(name))) {
  const program = prepared(client.name, client.prepare);
  if (program !== undefined) await runClient(client, program);
}
for (const name of ['python', 'websockets'].filter(isChosen)) {
  const python = prepared(name, installPython);
  if (python === undefined) continue;
  await attempt(name, async () => {
    if (name === 'python') return onStage(({ scene }, caFile) => drivePython(python, scene, caFile));
    const echo = await startPythonEcho(python);
    await onStage(({ scene }, caFile) => driveWebSockets(python, scene, caFile), echo.url).finally(echo.close);
  });
}
const inspector = isChosen('inspector') ? prepared('inspector', installInspector) : undefined;
if (inspector !== undefined) {
  await attempt('inspector', () =>
    onStage(async ({ scene }, caFile) => {
      const outcomes = await driveInspector(inspector, scene, caFile);
      rows.push({ client: 'MCP Inspector, `--cli`', version: inspectorVersion, server: 'both', outcomes });
    }),
  );
}
const whole = chosen.length === 0 && skipped === 0;
if (failed === 0) {
  await attempt('docs/clients.md', async () => compareTable(rows, { whole, write: words.includes('--write') }));
}
console.log(`clients: ${failed} failed, ${skipped} not run`);
if (failed > 0 || (skipped > 0 && !words.includes('--allow-skip'))) process.exitCode = 1;
