// Part `shadow`: the call of `calls` through gateways with a shadow and without, each in a process of its own.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Configuration } from '../../support/configuration.ts';
import { type Contest, same } from '../contest.ts';
import { freePorts } from '../ports.ts';
import { callOf } from '../requests.ts';
import type { Program, Scene } from '../scene.ts';

const without = 'portcullis, without a shadow';
const agrees = 'portcullis, a shadow that decides alike';
const differs = 'portcullis, a shadow that decides otherwise';
const body = callOf();

interface Configured extends Configuration {
  readonly server: Configuration;
  readonly routes: readonly Configuration[];
}

export const shadow: Contest = {
  async entries(scene) {
    const live = JSON.parse(readFileSync(scene.configFile, 'utf8')) as Configured;
    const routes = live.routes.map((route) => ({ ...route, scopes: undefined, rules: undefined, mcp: { rules: [] } }));
    const shadows = [
      [without, undefined],
      [agrees, live],
      [differs, { ...live, routes }],
    ] as const;
    const ports = await freePorts(shadows.length * 2);
    return shadows.map(([name, next], index) => {
      const script = gateway(scene, `shadow-${index}`, live, next, ports.slice(index * 2, index * 2 + 2));
      return same(scene, { name, script, base: without }, { body });
    });
  },
  bounds: [
    { of: agrees, to: without, atMost: 1.15 },
    { of: differs, to: without, atMost: 1.15 },
  ],
};

/** A gateway with the configuration of the scene, on ports of its own and with a log of its own. */
function gateway(
  { surroundings: { directory } }: Scene,
  name: string,
  live: Configured,
  next: Configuration | undefined,
  [port, adminPort]: readonly number[],
): Program {
  const write = (file: string, content: Configuration): string => {
    writeFileSync(join(directory, file), JSON.stringify(content));
    return file;
  };
  const configFile = write(`${name}.json`, {
    ...live,
    server: { ...live.server, listen: `127.0.0.1:${port}` },
    admin: { listen: `127.0.0.1:${adminPort}` },
    audit: { sinks: [{ type: 'file', path: `${name}.jsonl` }] },
    ...(next !== undefined && { shadow: { file: write(`${name}.next.json`, next) } }),
  });
  return {
    command: [process.execPath, 'dist/main.js', 'serve', '-c', join(directory, configFile), '--log-level', 'error'],
    env: { NODE_ENV: 'production' },
    logFile: join(directory, `${name}.jsonl`),
    port: port!,
  };
}
