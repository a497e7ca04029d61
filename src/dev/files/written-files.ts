// Files that the development environment writes for a person: `try.sh`, `tour.sh`, and the configurations of MCP clients.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { clientConfigurations, clientsReadme } from './client-configurations.ts';
import type { EnvironmentFacts } from './environment-facts.ts';
import { tourSections } from './tour.ts';
import { tourScript } from './tour-script.ts';
import { tryScript } from './try-script.ts';

/** Writes them into the directory. All of them hold secrets or lead to some, so only their owner may read them. */
export async function writeFiles(facts: EnvironmentFacts, program: readonly string[]): Promise<void> {
  const clients = clientConfigurations(facts);
  const { clientsDirectory, tourFile, tryFile } = facts;
  await mkdir(clientsDirectory, { recursive: true, mode: 0o700 });
  const texts = new Map([
    [tryFile, tryScript({ ...facts, program }, tryFile)],
    [tourFile, tourScript(tourSections(facts), { path: tourFile, trySh: tryFile })],
    [join(clientsDirectory, 'README.md'), clientsReadme(clients)],
    ...clients.map(({ file, text }) => [join(clientsDirectory, file), text] as const),
  ]);
  for (const [path, text] of texts) await writeFile(path, text, { mode: 0o600 });
}
