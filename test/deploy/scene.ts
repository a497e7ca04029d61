// Surroundings of a deployed gateway in these checks: an issuer, an MCP upstream, certificates, and a gateway as a process of its own.
import { strict as assert } from 'node:assert';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTestCertificates, type TestCertificates } from '../support/certificates.ts';
import { createClient } from '../support/client.ts';
import { type Changes, type Configuration, configure, yamlOf } from '../support/configuration.ts';
import { createFakeIssuer, type FakeIssuer } from '../support/issuer.ts';
import { until } from '../support/until.ts';
import { closedPort, type Reply, replyOk, startUpstream, type TestUpstream } from '../support/upstream.ts';
import { root } from './tools.ts';

export interface Scene {
  readonly directory: string;
  readonly certificates: TestCertificates;
  readonly issuer: FakeIssuer;
  readonly upstream: TestUpstream;
  /** `gateway.yaml` in a folder of its own with `tls.crt`, `tls.key` and `clients-ca.crt`; yields the folder. */
  configure(name: string, yaml: string): Promise<string>;
  /** Starts a process and waits until it answers 200 there. */
  start(command: readonly string[], url: string): Promise<Running>;
  /** For a gateway on these ports, with TLS. */
  configuration(port: number, adminPort: number, changes: Changes): Configuration;
  /** Starts the gateway with one route for the AI agent's tokens and this sink; `commandOf` makes the command from the folder of its configuration. */
  serve(sink: Configuration, commandOf: (folder: string) => readonly string[]): Promise<ServedGateway>;
  /** Processes that are ended with the scene. */
  readonly started: Running[];
  close(): Promise<void>;
}

export interface ServedGateway {
  readonly folder: string;
  readonly adminPort: number;
  readonly running: Running;
  /** Calls a tool with a token and without one. Throws an Error unless the one is let in and the other is not. */
  expectAuthentication(): Promise<void>;
}

export interface Running {
  readonly child: ChildProcess;
  /** What it has written so far. */
  output(): string;
  /** Sends the signal and yields the exit code. */
  stop(signal: NodeJS.Signals): Promise<number | null>;
}

/** SQL is answered by a stream whose end never comes: what arrives of it was passed on at once. */
const reply: Reply = (request, response) => {
  if (!request.body.includes('execute_sql')) return replyOk(request, response);
  response
    .writeHead(200, { 'content-type': 'text/event-stream' })
    .write('data: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n');
};

const patienceMs = 120_000;

export async function startScene(): Promise<Scene> {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-deploy-'));
  const [certificates, issuer, upstream] = await Promise.all([
    createTestCertificates(),
    createFakeIssuer(),
    startUpstream({ reply }),
  ]);
  const started: Running[] = [];
  const scene: Scene = {
    directory,
    certificates,
    issuer,
    upstream,
    configuration: (port, adminPort, changes) =>
      configure(
        { upstreamUrl: upstream.url, issuer: issuer.issuer },
        {
          server: { listen: `127.0.0.1:${port}`, tls: { certFile: 'tls.crt', keyFile: 'tls.key' } },
          admin: { listen: `127.0.0.1:${adminPort}` },
          ...changes,
        },
      ),
    async serve(sink, commandOf) {
      const [port, adminPort] = [await freePort(), await freePort()];
      const configuration = scene.configuration(port, adminPort, {
        routes: [{ path: '/mcp', mcp: { preset: 'superset' } }],
        audit: { sinks: [sink] },
      });
      const folder = await scene.configure('served', yamlOf(configuration));
      const running = await scene.start(commandOf(folder), `http://127.0.0.1:${adminPort}/readyz`);
      return {
        folder,
        adminPort,
        running,
        async expectAuthentication() {
          const client = createClient({ port, ca: certificates.authority.certificatePem });
          const headers = { authorization: `Bearer ${await issuer.token()}` };
          assert.equal((await client.post(callOf('list_dashboards'), { headers })).status, 200);
          assert.equal((await client.post(callOf('list_dashboards'))).status, 401);
          client.close();
        },
      };
    },
    async configure(name, yaml) {
      const folder = join(directory, name);
      await mkdir(folder);
      const files = { ...certificates.files, 'gateway.yaml': yaml };
      await Promise.all(Object.entries(files).map(([file, content]) => writeFile(join(folder, file), content)));
      return folder;
    },
    started,
    async start(command, url) {
      const running = launch(command);
      started.push(running);
      await untilAnswers(url, running);
      return running;
    },
    async close() {
      await Promise.all(started.map((running) => running.stop('SIGKILL')));
      await Promise.all([issuer.close(), upstream.close()]);
      await rm(directory, { recursive: true, force: true });
    },
  };
  return scene;
}

/** Starts a process; its output is kept. */
export function launch([command, ...args]: readonly string[]): Running {
  // A group of its own: what it starts itself is ended with it.
  const child = spawn(command!, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (piece) => {
      text += piece;
    });
  }
  child.on('error', (error) => {
    text += error.message;
  });
  return {
    child,
    output: () => text,
    async stop(signal) {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return child.exitCode;
      const exited = once(child, 'exit');
      process.kill(signal === 'SIGKILL' ? -child.pid : child.pid, signal);
      const [code] = (await exited) as [number | null];
      return code;
    },
  };
}

/** Waits until it holds. Throws an Error with the process's output when that does not come, or the process ends. */
export async function untilRuns(holds: () => Promise<boolean>, what: string, running: Running): Promise<void> {
  const look = async () => {
    assert.equal(running.child.exitCode, null, 'it has ended');
    return holds();
  };
  await until(look, what, patienceMs).catch((error: Error) => assert.fail(`${error.message}\n${running.output()}`));
}

/** Waits until the address is answered 200. Throws an Error with the process's output when that does not come. */
export async function untilAnswers(url: string, running: Running): Promise<void> {
  const answers = () =>
    fetch(url).then(
      (response) => response.status === 200,
      () => false,
    );
  await untilRuns(answers, `${url} is answered 200`, running);
}

export async function freePort(): Promise<number> {
  return Number(new URL(await closedPort()).port);
}

/** The gateway from the sources, with `gateway.yaml` of the folder. */
export function gatewayCommand(folder: string): readonly string[] {
  return [process.execPath, join(root, 'src/main.ts'), 'serve', '-c', join(folder, 'gateway.yaml')];
}

/** A `tools/call` of the AI agent. */
export function callOf(tool: string): string {
  return JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: tool, arguments: {} } });
}
