// Loader of configurations from text: the configuration, or every problem as a line.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ConfigError, formatProblem, type LoadedConfig, loadConfig } from '../../src/config/load.ts';

/** 2026-11-01. */
export const now = Date.UTC(2026, 10, 1);

export interface LoadFixture {
  readonly files?: Readonly<Record<string, string | Buffer>>;
  readonly env?: NodeJS.ProcessEnv;
  readonly revocationsInForce?: string;
}

/** Writes files, and the folders that they are in. */
export function writeFiles(folder: string, files: Readonly<Record<string, string | Buffer>>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
}

/** Writes gateway.yaml and further files into the folder and loads it. */
export async function loadText(
  folder: string,
  yaml: string | Buffer,
  { files = {}, env = {}, ...options }: LoadFixture = {},
): Promise<LoadedConfig> {
  writeFiles(folder, { ...files, 'gateway.yaml': yaml });
  return loadConfig(join(folder, 'gateway.yaml'), { env, now: () => now, ...options });
}

/** The lines that `check` would print, without the folder; warnings begin with `warning: `. Empty: the file is valid. */
export async function linesOf(folder: string, yaml: string | Buffer, fixture: LoadFixture = {}): Promise<string[]> {
  const print = (problem: Parameters<typeof formatProblem>[0]) => formatProblem(problem).replace(`${folder}/`, '');
  try {
    const { warnings } = await loadText(folder, yaml, fixture);
    return warnings.map((warning) => `warning: ${print(warning)}`);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(print);
    throw error;
  }
}

export interface Parts {
  readonly server?: string;
  readonly admin?: string;
  readonly authenticators?: string;
  readonly upstreams?: string;
  readonly routes?: string;
  readonly audit?: string;
  readonly more?: string;
}

/** A valid file on loopback, one line a section in the order of `Parts`, any of them replaced. Line 2 is `server`. */
export function fileOf(parts: Parts = {}): string {
  return [
    'version: 1',
    `server: ${parts.server ?? '{listen: "127.0.0.1:8443", publicUrl: https://mcp.example.com}'}`,
    `admin: ${parts.admin ?? '{listen: "127.0.0.1:9090"}'}`,
    `authenticators: ${parts.authenticators ?? '{corp: {type: jwt, issuer: https://idp.example.com/}}'}`,
    `upstreams: ${parts.upstreams ?? '{superset: {url: "http://127.0.0.1:5008"}}'}`,
    `routes: ${parts.routes ?? '[{path: /api, upstream: superset, authenticate: corp}]'}`,
    `audit: ${parts.audit ?? '{sinks: [{type: stdout}]}'}`,
    parts.more ?? '',
  ].join('\n');
}

/**
 * The line that a problem should come out as: `mark` is a piece of the file with `‸` before the place, `rest` the path and the message.
 */
export function lineAt(yaml: string, mark: string, rest: string, file = 'gateway.yaml'): string {
  const [before = '', after = ''] = mark.split('‸');
  const start = yaml.indexOf(before + after);
  if (start === -1 || !mark.includes('‸')) throw new Error(`no such place: ${mark}`);
  const lines = yaml.slice(0, start + before.length).split('\n');
  const [, severity, message] = /^(warning: )?(.*)$/s.exec(rest)!;
  return `${severity ?? ''}${file}:${lines.length}:${lines.at(-1)!.length + 1} ${message}`;
}
