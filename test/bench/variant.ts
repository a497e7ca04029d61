// Gateway of a contest with another configuration than that of the scene, in a process of its own.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Configuration } from '../support/configuration.ts';
import type { Program, Scene } from './scene.ts';

/** The configuration of a scene. */
export interface SceneConfiguration extends Configuration {
  readonly server: Configuration;
  readonly routes: readonly Configuration[];
}

/** The configuration of the scene. */
export function configurationOf({ configFile }: Scene): SceneConfiguration {
  return JSON.parse(readFileSync(configFile, 'utf8')) as SceneConfiguration;
}

/** A gateway on ports of its own and with a log of its own. */
export function variantOf(
  { surroundings: { directory } }: Scene,
  name: string,
  configuration: SceneConfiguration,
  [port, adminPort]: readonly number[],
): Program {
  const file = join(directory, `${name}.json`);
  writeFileSync(
    file,
    JSON.stringify({
      ...configuration,
      server: { ...configuration.server, listen: `127.0.0.1:${port}` },
      admin: { listen: `127.0.0.1:${adminPort}` },
      audit: { sinks: [{ type: 'file', path: `${name}.jsonl` }] },
    }),
  );
  return {
    command: [process.execPath, 'dist/main.js', 'serve', '-c', file, '--log-level', 'error'],
    env: { NODE_ENV: 'production' },
    logFile: join(directory, `${name}.jsonl`),
    port: port!,
  };
}
