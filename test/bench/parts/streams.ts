// Part `streams`: thousands of idle event streams through the gateway: memory per stream, the time of new calls meanwhile, and clients that do not read.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { Agent, request as sendRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { startIssuer } from '../issuer.ts';
import { openLoad } from '../load.ts';
import { freePorts } from '../ports.ts';
import { residentKilobytes, settledKilobytes } from '../proc.ts';
import { untilReady } from '../ready.ts';
import { quantile, type Report } from '../report.ts';
import { certificateFiles } from '../scene.ts';
import type { Settings } from '../settings.ts';

/** Handshakes at the same time: more only wait for each other. */
const opening = 32;
/** New calls, on four connections. */
const calls = 1000;
const call = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_dashboards","arguments":{}}}';

/** With TLS or plain HTTP to the upstream. */
interface Surroundings {
  readonly gateway: ChildProcess;
  readonly port: number;
  readonly publicUrl: string;
  readonly token: string;
  readonly caPem: string;
  close(): Promise<void>;
}

/** With an upstream over plain HTTP as beside a sidecar, and over TLS. */
export async function measureStreams(settings: Settings): Promise<Report> {
  checkDescriptors(settings);
  const [plain, tls] = [await measure(settings, 'http'), await measure(settings, 'https')];
  const { streams } = settings;
  return {
    part: 'streams',
    told: `Node ${process.versions.node}, ${streams} idle GET event streams, TLS to the client`,
    header: ['', 'upstream over plain HTTP (sidecar)', 'upstream over TLS'],
    rows: plain.rows.map(([name, figure], index) => [name!, figure!, tls.rows[index]![1]!]),
    checks: [
      { of: 'KB a stream, upstream over plain HTTP', measured: plain.kilobytesEach, atMost: 100 },
      { of: 'KB a stream, upstream over TLS', measured: tls.kilobytesEach, atMost: 100 },
      { of: 'streams lost', measured: plain.lost + tls.lost, atMost: 0 },
    ],
    samples: { plain, tls },
  };
}

async function measure(settings: Settings, scheme: 'http' | 'https') {
  const { streams, 'slow-readers': slowReaders } = settings;
  settings.progress(`streams: upstream over ${scheme}`);
  const surroundings = await surround(settings, scheme);
  const pid = surroundings.gateway.pid!;
  const agent = new Agent({ ca: surroundings.caPem, keepAlive: false, maxCachedSessions: 0 });
  const held: IncomingMessage[] = [];
  try {
    await latencyOfCalls(surroundings);
    const idle = await settledKilobytes(pid);
    const before = await latencyOfCalls(surroundings);
    const started = performance.now();
    let next = 0;
    const opener = async (): Promise<void> => {
      while (next++ < streams) held.push((await openStream(surroundings, agent)).resume());
    };
    await Promise.all(Array.from({ length: opening }, opener));
    const openedMs = performance.now() - started;
    const full = await settledKilobytes(pid);
    const meanwhile = await latencyOfCalls(surroundings);
    const slow = await measureSlowReaders(surroundings, agent, slowReaders);
    const alive = held.filter(({ destroyed }) => !destroyed).length;
    const kilobytesEach = (full - idle) / streams;
    const megabytes = (kilobytes: number) => `${(kilobytes / 1024).toFixed(0)} MB`;
    return {
      kilobytesEach,
      lost: streams - alive,
      rows: [
        ['opened in', `${(openedMs / 1000).toFixed(1)} s`],
        ['still open at the end', `${alive} of ${streams}`],
        ['gateway, resident: before, with the streams', `${megabytes(idle)}, ${megabytes(full)}`],
        ['memory a stream', `${kilobytesEach.toFixed(1)} KB`],
        [`${calls} new calls before: median, 99th percentile`, before],
        [`${calls} new calls with the streams open`, meanwhile],
        [`each of ${slowReaders} further clients that do not read a fast upstream`, slow],
      ],
    };
  } finally {
    for (const response of held) response.destroy();
    agent.destroy();
    await surroundings.close();
  }
}

/** The gateway needs two descriptors a stream and some more; the processes inherit the limit of this one. */
function checkDescriptors({ streams, 'slow-readers': slowReaders }: Settings): void {
  const limit = Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 0);
  const needed = 2 * (streams + 2 * slowReaders + opening) + 300;
  if (limit >= needed) return;
  const possible = Math.floor((limit - 300) / 2) - 2 * slowReaders - opening;
  throw new Error(
    `${streams} streams need ${needed} open files in the gateway, and this shell allows ${limit}: raise it (ulimit -n ${needed}), or run with --streams ${possible}`,
  );
}

async function surround(settings: Settings, scheme: 'http' | 'https'): Promise<Surroundings> {
  const directory = mkdtempSync(join(tmpdir(), 'portcullis-streams-'));
  const { certFile, keyFile, caPem } = await certificateFiles(directory);
  const [port, adminPort, upstreamPort] = (await freePorts(3)) as [number, number, number];
  const publicUrl = `https://localhost:${port}`;
  const adminUrl = `http://127.0.0.1:${adminPort}`;
  const issuer = await startIssuer(`${publicUrl}/mcp`);
  const configFile = join(directory, 'gateway.yaml');
  const upstreamUrl = `${scheme}://localhost:${upstreamPort}`;
  const addresses = { publicUrl, port, adminPort, issuer: issuer.url, upstreamUrl };
  writeFileSync(configFile, JSON.stringify(configurationOf(addresses, settings)));
  const start = (script: string, args: readonly string[], env: Record<string, string>): ChildProcess =>
    spawn(process.execPath, [script, ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  const tls = { CERT_FILE: certFile, KEY_FILE: keyFile, TLS: scheme === 'https' ? 'yes' : 'no' };
  const upstream = start('test/bench/stream-upstream.ts', [], { ...tls, PORT: String(upstreamPort) });
  const serve = ['serve', '-c', configFile, '--log-level', 'fatal'];
  const gateway = start('dist/main.js', serve, { NODE_ENV: 'production' });
  const close = async (): Promise<void> => {
    for (const child of [upstream, gateway]) child.kill('SIGKILL');
    await issuer.close();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await untilReady({ adminUrl, portOf: () => port }, 'dist/main.js');
  } catch (error) {
    await close();
    throw error;
  }
  return { gateway, port, publicUrl, token: issuer.token, caPem, close };
}

function configurationOf(
  at: {
    readonly publicUrl: string;
    readonly port: number;
    readonly adminPort: number;
    readonly issuer: string;
    readonly upstreamUrl: string;
  },
  { streams, 'slow-readers': slowReaders }: Settings,
) {
  return {
    version: 1,
    server: {
      listen: `127.0.0.1:${at.port}`,
      publicUrl: at.publicUrl,
      tls: { certFile: 'tls.crt', keyFile: 'tls.key' },
      limits: { connections: streams + 1000, connectionsPerAddress: streams + 1000 },
    },
    admin: { listen: `127.0.0.1:${at.adminPort}` },
    authenticators: { corp: { type: 'jwt', issuer: at.issuer, jwksUri: `${at.issuer}/jwks` } },
    upstreams: {
      up: {
        url: at.upstreamUrl,
        ...(at.upstreamUrl.startsWith('https:') && { tls: { caFile: 'ca.crt' } }),
        limits: { concurrency: 64, concurrencyPerClient: 64, streamsPerClient: streams + 2 * slowReaders },
      },
    },
    routes: [
      {
        path: '/mcp',
        upstream: 'up',
        authenticate: 'corp',
        mcp: { rules: [{ allow: { tools: ['list_dashboards'] }, require: { scopes: ['dashboards:read'] } }] },
      },
    ],
    audit: { sinks: [{ type: 'file', path: 'audit.jsonl' }] },
  };
}

async function openStream({ publicUrl, token }: Surroundings, agent: Agent, query = ''): Promise<IncomingMessage> {
  const headers = { authorization: `Bearer ${token}`, accept: 'text/event-stream' };
  const outgoing = sendRequest(`${publicUrl}/mcp${query}`, { agent, headers });
  outgoing.end();
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  outgoing.on('error', () => {});
  response.on('error', () => {});
  if (response.statusCode !== 200) throw new Error(`a stream was answered ${response.statusCode}`);
  return response;
}

/** One after the other on each of four new connections. */
async function latencyOfCalls({ port, caPem, token }: Surroundings): Promise<string> {
  const load = await openLoad({ port, ca: caPem, token, body: call, connections: 4 });
  const latencies = await load.closedLoop((sent) => sent >= calls);
  load.close();
  return `${quantile(latencies, 0.5).toFixed(1)} ms, ${quantile(latencies, 0.99).toFixed(1)} ms`;
}

/** The first of them make the process grow once, by what so fast a stream needs at all; each further one by its buffers only. */
async function measureSlowReaders(surroundings: Surroundings, agent: Agent, count: number): Promise<string> {
  const pid = surroundings.gateway.pid!;
  const stalled: IncomingMessage[] = [];
  const open = async (): Promise<number> => {
    for (let index = 0; index < count; index++) {
      stalled.push((await openStream(surroundings, agent, '?flood')).pause());
    }
    return settledKilobytes(pid);
  };
  const first = await open();
  const second = await open();
  await pause(10_000);
  const later = residentKilobytes(pid);
  for (const response of stalled) response.destroy();
  const each = (grown: number) => `${(grown / count).toFixed(0)} KB`;
  return `${each(second - first)}, and ${each(later - second)} in the 10 s after`;
}
