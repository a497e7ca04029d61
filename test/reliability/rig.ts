// A gateway as a process of its own, an upstream that remembers every request id it saw, and clients that count what failed.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'undici';
import { createCertificateAuthority } from '../../src/pki/authority.ts';
import {
  apiKey,
  type Changes,
  type Configuration,
  configure,
  keyEntry,
  listDashboards,
  yamlOf,
} from '../support/configuration.ts';
import type { HeldSocket } from '../support/held-socket.ts';
import { readJsonLines } from '../support/json-lines.ts';
import { until } from '../support/until.ts';

export interface RigOptions {
  /** Answers each request once its id is remembered; by default a call that did nothing. */
  readonly answer?: RequestListener;
  /** Laid over the rig's configuration. */
  readonly changes?: Changes;
  /** TLS to the gateway and to the upstream. */
  readonly tls?: boolean;
}

export interface Rig {
  readonly directory: string;
  readonly configFile: string;
  readonly publicUrl: string;
  readonly adminUrl: string;
  /** The credential that every route takes. */
  readonly authorization: string;
  /** What clients have to trust; undefined without TLS. */
  readonly caPem: string | undefined;
  /** Request ids in the order in which they reached the upstream. */
  readonly seen: string[];
  /** Writes the configuration with these rules of its MCP route. */
  configure(rules: readonly Configuration[]): Promise<void>;
  /** Writes something that is not a configuration. */
  breakConfiguration(): Promise<void>;
  /** What the process prints goes to `onOutput`, in pieces as they come. */
  start(options?: {
    readonly nodeOptions?: readonly string[];
    readonly onOutput?: (text: string) => void;
  }): Promise<ChildProcess>;
  /** Starts a process that inherits both listeners, as systemd would. Resolves once it has told that it is ready. */
  startInherited(sockets: readonly [admin: HeldSocket, open: HeldSocket]): Promise<ChildProcess>;
  /** Sends calls from `connections` clients until `signal` is aborted; the answers go to `onAnswer`. */
  load(options: LoadOptions): Promise<LoadResult>;
  auditFiles(): Promise<string[]>;
  close(): Promise<void>;
}

export interface LoadOptions {
  readonly connections: number;
  readonly signal: AbortSignal;
  readonly body?: string;
  /** Each request has a connection of its own. */
  readonly newConnections?: boolean;
  /** Pause of a client between two requests. */
  readonly thinkMs?: number;
  /** Ends a client at an answer that announces the end of its connection. */
  readonly stopWhenClosing?: boolean;
}

export interface LoadResult {
  readonly answered: Map<number, number>;
  readonly failures: unknown[];
}

export const allowedCall = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'tools/call',
  params: { name: 'list_dashboards', arguments: { request: {} } },
});

const answerCall: RequestListener = (request, response) => {
  request.resume().on('end', () => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end('{"jsonrpc":"2.0","id":1,"result":{"content":[]}}');
  });
};

export async function createRig({ answer = answerCall, changes = {}, tls = false }: RigOptions = {}): Promise<Rig> {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-reliability-'));
  const configFile = join(directory, 'gateway.yaml');
  const seen: string[] = [];
  const certificates = tls ? await writeCertificates(directory) : undefined;
  const listener: RequestListener = (request, response) => {
    seen.push(String(request.headers['x-request-id']));
    answer(request, response);
  };
  const upstream =
    certificates === undefined ? createServer(listener) : (createHttpsServer(certificates, listener) as Server);
  const [upstreamPort, port, adminPort] = [await listen(upstream), await freePort(), await freePort()];
  const scheme = tls ? 'https' : 'http';
  const publicUrl = `${scheme}://127.0.0.1:${port}`;
  const configurationWith = (rules: readonly Configuration[]) =>
    configure(
      { upstreamUrl: `${scheme}://127.0.0.1:${upstreamPort}`, issuer: publicUrl },
      {
        server: {
          listen: `127.0.0.1:${port}`,
          publicUrl,
          drainTimeout: '4s',
          ...(tls && { tls: { certFile: 'tls.crt', keyFile: 'tls.key' } }),
        },
        admin: { listen: `127.0.0.1:${adminPort}` },
        authenticators: {
          corp: undefined,
          keys: { sunset: '2099-01-01', keys: [keyEntry('k1', apiKey, { expires: undefined })] },
        },
        upstreams: {
          superset: {
            limits: { concurrency: 64, concurrencyPerClient: 64 },
            ...(tls && { tls: { caFile: 'ca.crt' } }),
          },
        },
        routes: [{ path: '/mcp', authenticate: 'keys', mcp: { rules } }],
        audit: { sinks: [{ type: 'file', path: 'audit.jsonl', rotateAt: '1MiB' }] },
      },
      changes,
    );
  const write = (rules: readonly Configuration[]) => writeFile(configFile, yamlOf(configurationWith(rules)));
  await write([listDashboards]);
  const children = new Set<ChildProcess>();
  return {
    directory,
    configFile,
    publicUrl,
    authorization: `Bearer ${apiKey}`,
    caPem: certificates?.ca,
    adminUrl: `http://127.0.0.1:${adminPort}`,
    seen,
    configure: write,
    breakConfiguration: () => writeFile(configFile, 'version: 1\nserver: {listen: nowhere\n'),
    async start({ nodeOptions = [], onOutput } = {}) {
      const command = ['dist/main.js', 'serve', '-c', configFile, '--log-level', 'fatal'];
      const child = spawn(process.execPath, [...nodeOptions, ...command], {
        stdio: ['ignore', onOutput === undefined ? 'ignore' : 'pipe', 'inherit'],
      });
      if (onOutput !== undefined) child.stdout!.setEncoding('utf8').on('data', onOutput);
      children.add(child);
      child.once('exit', () => children.delete(child));
      await ready(`http://127.0.0.1:${adminPort}/readyz`, child);
      return child;
    },
    async startInherited(sockets) {
      const notified = join(directory, `notified-${children.size}-${seen.length}`);
      await writeFile(join(directory, 'systemd-notify'), '#!/bin/sh\necho "$@" >> "$NOTIFY_SOCKET"\n', { mode: 0o755 });
      // The shell becomes the gateway, so that its number is the gateway's.
      const line = 'LISTEN_PID=$$ exec "$0" dist/main.js serve -c "$1" --log-level fatal';
      const child = spawn('sh', ['-c', line, process.execPath, configFile], {
        stdio: ['ignore', 'ignore', 'inherit', ...sockets.map(({ fd }) => fd)],
        env: {
          PATH: `${directory}:${process.env.PATH}`,
          LISTEN_FDS: '2',
          LISTEN_FDNAMES: 'admin:public',
          NOTIFY_SOCKET: notified,
        },
      });
      children.add(child);
      child.once('exit', () => children.delete(child));
      await until(
        async () => {
          if (child.exitCode !== null) throw new Error(`the gateway ended with ${child.exitCode}`);
          return (await readFile(notified, 'utf8').catch(() => '')).includes('READY=1');
        },
        'the gateway tells that it is ready',
        120_000,
      );
      return child;
    },
    load: (options) => load(publicUrl, apiKey, certificates?.ca, options),
    async auditFiles() {
      const names = await readdir(directory);
      return names.filter((name) => /^audit.*\.jsonl$/.test(name)).map((name) => join(directory, name));
    },
    async close() {
      for (const child of children) {
        child.kill('SIGKILL');
        await once(child, 'exit');
      }
      upstream.closeAllConnections();
      await new Promise((resolve) => upstream.close(resolve));
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** The ids of all `decided` records, and the number of all records. */
export async function decidedIds(files: readonly string[]): Promise<{ ids: Set<string>; records: number }> {
  const ids = new Set<string>();
  let records = 0;
  for (const file of files) {
    for (const record of await readJsonLines<{ id: string; stage: string }>(file)) {
      records += 1;
      if (record.stage === 'decided') ids.add(record.id);
    }
  }
  return { ids, records };
}

/** Writes `ca.crt`, `tls.crt` and `tls.key`. */
async function writeCertificates(directory: string) {
  const authority = await createCertificateAuthority();
  const { certificatePem, keyPem } = await authority.issue({
    commonName: 'localhost',
    ips: ['127.0.0.1'],
    server: true,
  });
  await Promise.all([
    writeFile(join(directory, 'ca.crt'), authority.certificatePem),
    writeFile(join(directory, 'tls.crt'), certificatePem),
    writeFile(join(directory, 'tls.key'), keyPem, { mode: 0o600 }),
  ]);
  return { ca: authority.certificatePem, cert: certificatePem, key: keyPem };
}

const clientKeepAliveMs = 2000;

async function load(publicUrl: string, key: string, ca: string | undefined, options: LoadOptions): Promise<LoadResult> {
  const pool = new Pool(publicUrl, {
    connections: options.connections,
    pipelining: 1,
    // Shorter than the drain, at whose end silent connections are cut: nobody takes one up in that very moment.
    keepAliveTimeout: clientKeepAliveMs,
    keepAliveMaxTimeout: clientKeepAliveMs,
    ...(ca !== undefined && { connect: { ca } }),
  });
  const answered = new Map<number, number>();
  const failures: unknown[] = [];
  const client = async (): Promise<void> => {
    while (!options.signal.aborted) {
      try {
        const response = await pool.request({
          method: 'POST',
          path: '/mcp',
          reset: options.newConnections === true,
          headers: {
            authorization: `Bearer ${key}`,
            'content-type': 'application/json',
            accept: 'application/json, text/event-stream',
          },
          body: options.body ?? allowedCall,
        });
        await response.body.dump();
        answered.set(response.statusCode, (answered.get(response.statusCode) ?? 0) + 1);
        if (options.thinkMs !== undefined) await delay(options.thinkMs);
        if (options.stopWhenClosing === true && response.headers.connection === 'close') return;
      } catch (cause) {
        failures.push(cause);
        if (failures.length > 1000) return;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  };
  await Promise.all(Array.from({ length: options.connections }, client));
  await pool.destroy();
  return { answered, failures };
}

async function ready(url: string, child: ChildProcess): Promise<void> {
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`the gateway ended with ${child.exitCode}`);
    return fetch(url).then(
      (response) => response.ok,
      () => false,
    );
  }, 'the gateway is ready');
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}
