// Programs of the scenario, one for each client: how it is built, which version it has, and the servers it meets.
import { hash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { demand, installed, npmPackage } from './cache.ts';
import { installPython, pythonVersions } from './python.ts';
import type { Program } from './scenario.ts';
import type { Endpoint } from './stage.ts';

/** A program that cannot be built though the machine has all that it needs. */
export class BuildError extends Error {}

export interface ClientProgram {
  /** Of the command line. */
  readonly name: string;
  /** In the table. */
  readonly title: string;
  readonly version: string;
  /** `/v1` has sessions; `/v2` has revision 2026-07-28 besides. */
  readonly endpoints: readonly Endpoint[];
  /** The log-in is the program's, because the client has none. */
  readonly ownLogIn?: boolean;
  /** Builds what is not built. Throws a BuildError, or an Error that says what this machine lacks. */
  prepare(): Program;
}

const here = import.meta.dirname;
/** Compilers keep their results here from run to run. */
const userCache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'portcullis-clients');
const remoteVersion = '0.15.1';
const { devDependencies } = JSON.parse(readFileSync(join(here, '../../../package.json'), 'utf8')) as Record<
  'devDependencies',
  Record<string, string>
>;
const both: readonly Endpoint[] = ['/v1', '/v2'];

export const clientPrograms: readonly ClientProgram[] = [
  typescript('first', 'TypeScript SDK, `sdk`', devDependencies['@modelcontextprotocol/sdk']!, ['/v1']),
  typescript('second', 'TypeScript SDK, `client`', devDependencies['@modelcontextprotocol/client']!, both),
  python('sdk', 'Python SDK', pythonVersions.mcp),
  python('fastmcp', 'FastMCP', pythonVersions.fastmcp),
  { name: 'go', title: 'Go SDK', version: pinned('go/go.mod', /go-sdk v(\S+)/), endpoints: both, prepare: buildGo },
  {
    name: 'rust',
    title: 'Rust SDK (`rmcp`)',
    version: pinned('rust/Cargo.toml', /rmcp\]\s*version = "=(.*)"/),
    endpoints: both,
    prepare: buildRust,
  },
  {
    name: 'java',
    title: 'Java SDK',
    version: pinned('java/pom.xml', /<artifactId>mcp<\/artifactId>\s*<version>(.*)<\/version>/),
    endpoints: ['/v1'],
    ownLogIn: true,
    prepare: buildJava,
  },
  {
    name: 'mcp-remote',
    title: '`mcp-remote`',
    version: remoteVersion,
    endpoints: ['/v1'],
    prepare: () => ({
      command: process.execPath,
      args: [join(here, 'typescript/mcp-remote.ts')],
      env: { MCP_REMOTE: join(npmPackage('mcp-remote', remoteVersion), 'dist/proxy.js') },
    }),
  },
];

function typescript(name: string, title: string, range: string, endpoints: readonly Endpoint[]): ClientProgram {
  const program = { command: process.execPath, args: [join(here, `typescript/${name}.ts`)] };
  return { name, title, version: range.replace('^', ''), endpoints, prepare: () => program };
}

function python(name: string, title: string, version: string): ClientProgram {
  const args = ['-B', join(here, 'python/scenario.py'), name];
  return { name, title, version, endpoints: both, prepare: () => ({ command: installPython(), args }) };
}

function buildGo(): Program {
  demand('go', ['version'], 'go is missing (Go 1.25 or later)');
  const command = join(target('go'), 'client');
  demand('go', ['mod', 'download'], 'go cannot fetch the Go SDK', join(here, 'go'));
  compile('go', ['build', '-o', command, '.'], join(here, 'go'));
  return { command, args: [] };
}

function buildRust(): Program {
  demand('cargo', ['--version'], 'cargo is missing (Rust 1.88 or later)');
  const folder = target('rust');
  demand('cargo', ['fetch', '--quiet'], 'cargo cannot fetch the Rust SDK', join(here, 'rust'));
  compile('cargo', ['build', '--quiet', '--target-dir', folder], join(here, 'rust'));
  return { command: join(folder, 'debug/portcullis-test-client'), args: [] };
}

function buildJava(): Program {
  demand('javac', ['-version'], 'javac is missing (Java 17 or later)');
  demand('mvn', ['--version'], 'mvn is missing');
  const pom = join(here, 'java/pom.xml');
  const source = join(here, 'java/Client.java');
  const contents = [pom, source].map((file) => readFileSync(file, 'utf8')).join();
  const folder = installed(`java-${hash('sha256', contents).slice(0, 12)}`, (empty) => {
    const copy = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies';
    const options = ['--quiet', '--batch-mode', '--file', pom, `-DoutputDirectory=${empty}`];
    demand('mvn', [...options, copy], 'mvn cannot fetch the Java SDK');
    compile('javac', ['-d', empty, '-cp', join(empty, '*'), source], empty);
  });
  return { command: 'java', args: ['-cp', `${folder}:${join(folder, '*')}`, 'Client'] };
}

/** Leaves the processor to others. Throws a BuildError, which is never the machine's fault. */
function compile(command: string, args: readonly string[], folder: string): void {
  try {
    demand('nice', [command, ...args], `${command} fails`, folder);
  } catch (error) {
    throw new BuildError((error as Error).message);
  }
}

function target(name: string): string {
  const folder = join(userCache, name);
  mkdirSync(folder, { recursive: true });
  return folder;
}

function pinned(file: string, pattern: RegExp): string {
  return pattern.exec(readFileSync(join(here, file), 'utf8'))![1]!;
}
