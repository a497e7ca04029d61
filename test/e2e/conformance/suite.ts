// Runner of the public MCP conformance suite against one address, and reader of what it found.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export interface Check {
  readonly id: string;
  readonly name: string;
  readonly status: 'SUCCESS' | 'FAILURE' | 'WARNING' | 'SKIPPED' | 'INFO';
  readonly errorMessage?: string;
}

export interface SuiteResult {
  /** All that the revision requires has passed. */
  readonly passed: boolean;
  readonly checks: ReadonlyMap<string, readonly Check[]>;
  readonly output: string;
}

const suite = join(
  dirname(createRequire(import.meta.url).resolve('@modelcontextprotocol/conformance/package.json')),
  'dist/index.js',
);
const deadlineMs = 120_000;

/** Checks by scenario. Rejects when the suite does not come to an end. */
export async function runSuite(url: string, requirements: string): Promise<SuiteResult> {
  const folder = await mkdtemp(join(tmpdir(), 'portcullis-conformance-'));
  try {
    const args = [suite, 'server', '--url', url, '--requirements', requirements, '-o', folder];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: deadlineMs });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => (output += text));
    const [code, signal] = await once(child, 'close');
    if (signal !== null) throw new Error(`the suite did not end within ${deadlineMs / 1000} s:\n${output}`);
    return { passed: code === 0, checks: await readChecks(folder), output };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Stands for a scenario that broke off and wrote nothing. */
const unfinished: Check = { id: 'unfinished', name: 'Unfinished', status: 'FAILURE' };

/** The folders are `server-<scenario>-<time>`. */
async function readChecks(folder: string): Promise<Map<string, readonly Check[]>> {
  const checks = new Map<string, readonly Check[]>();
  for (const name of (await readdir(folder)).sort()) {
    const scenario = /^server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$/.exec(name)?.[1];
    if (scenario === undefined) throw new Error(`the suite wrote a folder with an unexpected name: ${name}`);
    checks.set(
      scenario,
      await readFile(join(folder, name, 'checks.json'), 'utf8').then(JSON.parse, () => [unfinished]),
    );
  }
  return checks;
}
