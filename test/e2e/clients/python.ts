// The Python SDK, FastMCP and websockets: a virtual environment with pinned versions, and a run of client.py in it.
import { join } from 'node:path';
import { demand, installed } from './cache.ts';
import { runChild } from './child.ts';
import type { Scene } from './scene.ts';

export const pythonVersions = { mcp: '2.3.0', fastmcp: '4.1.2', websockets: '17.4' };
const packages = Object.entries(pythonVersions).map(([name, version]) => `${name}==${version}`);

/** The interpreter of the environment. Throws an Error that says what this machine lacks. */
export function installPython(): string {
  const folder = installed(`python-${packages.join('-').replaceAll('==', '-')}`, (environment) => {
    demand('python3', ['--version'], 'python3 is missing');
    demand(
      'python3',
      ['-m', 'venv', environment],
      'python3 cannot make a virtual environment (Debian: install python3-venv)',
    );
    demand(
      join(environment, 'bin/python'),
      ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...packages],
      `pip cannot install ${packages.join(' and ')}`,
    );
  });
  return join(folder, 'bin/python');
}

/** Throws an Error with what was not as it should be. */
export async function drivePython(python: string, scene: Scene, caFile: string): Promise<void> {
  const tokens: Record<string, unknown> = {};
  for (const path of ['/v1', '/v2']) {
    tokens[path] = {
      read: await scene.token(path, 'dashboards:read'),
      all: await scene.token(path, 'dashboards:read queries:execute'),
    };
  }
  const { origin, issuer, agent } = scene;
  const input = JSON.stringify({ origin, issuer, caFile, tokens, ...agent });
  const { code, output } = await runChild(python, ['-B', join(import.meta.dirname, 'python/client.py')], { input });
  console.log(output.trimEnd());
  if (code !== 0) throw new Error('the Python clients did not get through');
}
