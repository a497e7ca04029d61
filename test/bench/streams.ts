// Thousands of idle event streams through the gateway: memory per stream, what new requests feel of them, and what a client costs that does not read.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { Agent, request as sendRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Pool } from 'undici';
import { certificateFiles, freePorts, startIssuer } from './scene.ts';

const { values: options } = parseArgs({
  options: {
    streams: { type: 'string', default: '9000' },
    requests: { type: 'string', default: '1000' },
    'slow-readers': { type: 'string', default: '20' },
    'upstream-tls': { type: 'boolean', default: false },
  },
});
const streams = Number(options.streams);
const requests = Number(options.requests);
const slowReaders = Number(options['slow-readers']);
const targetKilobytes = 100;
/** Handshakes at the same time: more only wait for each other. */
const opening = 32;

checkDescriptors();
const directory = mkdtempSync(join(tmpdir(), 'portcullis-streams-'));
const { certFile, keyFile, caPem } = await certificateFiles(directory);
const [port, adminPort, upstreamPort] = (await freePorts(3)) as [number, number, number];
const publicUrl = `https://localhost:${port}`;
const issuer = await startIssuer(`${publicUrl}/mcp`);
const children: ChildProcess[] = [];
const held: IncomingMessage[] = [];
const agent = new Agent({ ca: caPem, keepAlive: false, maxCachedSessions: 0 });
try {
  start('test/bench/stream-upstream.ts', [], {
    CERT_FILE: certFile,
    KEY_FILE: keyFile,
    PORT: String(upstreamPort),
    TLS: options['upstream-tls'] ? 'yes' : 'no',
  });
  const gateway = start('dist/main.js', ['serve', '-c', configure(), '--log-level', 'fatal'], {
    NODE_ENV: 'production',
  });
  await ready();
  await measureRequests();
  const idle = await settled(gateway);
  const before = await measureRequests();
  const openedMs = await openAll();
  const full = await settled(gateway);
  const meanwhile = await measureRequests();
  const slow = await measureSlowReaders(gateway);
  const alive = held.filter(({ destroyed }) => !destroyed).length;
  const perStream = (full - idle) / streams;
  console.log(
    `Node ${process.versions.node}, ${streams} idle GET event streams, TLS to the client, ${options['upstream-tls'] ? 'TLS' : 'plain HTTP'} to the upstream\n`,
  );
  console.log('| | |\n|---|---|');
  row('opened in', `${(openedMs / 1000).toFixed(1)} s`);
  row('still open at the end', `${alive} of ${streams}`);
  row('gateway, resident: before', megabytes(idle));
  row('gateway, resident: with the streams', megabytes(full));
  row(
    'memory a stream',
    `${perStream.toFixed(1)} KB (at most ${targetKilobytes} KB: ${perStream <= targetKilobytes ? 'met' : 'NOT met'})`,
  );
  row(`${requests} new calls before: answered 200, median, 99th percentile`, before);
  row(`${requests} new calls with the streams open`, meanwhile);
  row(`each of ${slowReaders} further clients that do not read a fast upstream`, slow);
  if (alive !== streams || perStream > targetKilobytes) process.exitCode = 1;
} finally {
  for (const response of held) response.destroy();
  agent.destroy();
  for (const child of children) child.kill('SIGKILL');
  await issuer.close();
  rmSync(directory, { recursive: true, force: true });
}

function row(what: string, figure: string): void {
  console.log(`| ${what} | ${figure} |`);
}

function megabytes(kilobytes: number): string {
  return `${(kilobytes / 1024).toFixed(0)} MB`;
}

/** The gateway needs two descriptors a stream and some more; the processes inherit the limit of this one. */
function checkDescriptors(): void {
  const limit = Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 0);
  const needed = 2 * (streams + 2 * slowReaders + opening) + 300;
  if (limit >= needed) return;
  const possible = Math.floor((limit - 300) / 2) - 2 * slowReaders - opening;
  console.error(
    `${streams} streams need ${needed} open files in the gateway, and this shell allows ${limit}: raise it (ulimit -n ${needed}), or run with --streams ${possible}`,
  );
  process.exit(2);
}

function start(script: string, args: string[], env: Record<string, string>): ChildProcess {
  const child = spawn(process.execPath, [script, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  children.push(child);
  return child;
}

function configure(): string {
  const scheme = options['upstream-tls'] ? 'https' : 'http';
  const file = join(directory, 'gateway.yaml');
  writeFileSync(
    file,
    `version: 1
server: {listen: "127.0.0.1:${port}", publicUrl: "${publicUrl}", tls: {certFile: tls.crt, keyFile: tls.key}, limits: {connections: ${streams + 1000}, connectionsPerAddress: ${streams + 1000}}}
admin: {listen: "127.0.0.1:${adminPort}"}
authenticators: {corp: {type: jwt, issuer: "${issuer.url}", jwksUri: "${issuer.url}/jwks"}}
upstreams:
  up:
    url: "${scheme}://localhost:${upstreamPort}"
    ${options['upstream-tls'] ? 'tls: {caFile: ca.crt}' : ''}
    limits: {concurrency: 64, concurrencyPerClient: 64, streamsPerClient: ${streams + 2 * slowReaders}}
routes:
  - path: /mcp
    upstream: up
    authenticate: corp
    mcp: {rules: [{allow: {tools: [list_dashboards]}, require: {scopes: [dashboards:read]}}]}
audit: {sinks: [{type: file, path: audit.jsonl}]}
`,
  );
  return file;
}

async function ready(): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const ok = await fetch(`http://127.0.0.1:${adminPort}/readyz`).then(
      (answer) => answer.ok,
      () => false,
    );
    if (ok) return;
    await pause(100);
  }
  throw new Error('the gateway did not become ready');
}

async function openAll(): Promise<number> {
  const started = performance.now();
  let next = 0;
  const opener = async (): Promise<void> => {
    while (next++ < streams) held.push(await openStream());
  };
  await Promise.all(Array.from({ length: opening }, opener));
  return performance.now() - started;
}

async function openStream(query = ''): Promise<IncomingMessage> {
  const outgoing = sendRequest(`${publicUrl}/mcp${query}`, {
    agent,
    headers: { authorization: `Bearer ${issuer.token}`, accept: 'text/event-stream' },
  });
  outgoing.end();
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  outgoing.on('error', () => {});
  response.on('error', () => {});
  if (response.statusCode !== 200) throw new Error(`a stream was answered ${response.statusCode}`);
  if (query === '') response.resume();
  return response;
}

/** New calls, one after the other on each of four connections. */
async function measureRequests(): Promise<string> {
  const pool = new Pool(publicUrl, { connections: 4, pipelining: 1, connect: { ca: caPem } });
  const times: number[] = [];
  let good = 0;
  let next = 0;
  const caller = async (): Promise<void> => {
    while (next++ < requests) {
      const started = performance.now();
      const { statusCode, body } = await pool.request({
        method: 'POST',
        path: '/mcp',
        headers: {
          authorization: `Bearer ${issuer.token}`,
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
        },
        body: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_dashboards","arguments":{}}}',
      });
      await body.dump();
      times.push(performance.now() - started);
      if (statusCode === 200) good += 1;
    }
  };
  await Promise.all(Array.from({ length: 4 }, caller));
  await pool.close();
  times.sort((one, other) => one - other);
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))]!.toFixed(1);
  return `${good} of ${requests}, ${at(0.5)} ms, ${at(0.99)} ms`;
}

/** The first of them make the process grow once, by what so fast a stream needs at all; each further one by its buffers only. */
async function measureSlowReaders(gateway: ChildProcess): Promise<string> {
  const open = async (): Promise<number> => {
    for (let index = 0; index < slowReaders; index++) {
      const response = await openStream('?flood');
      response.pause();
      held.unshift(response);
    }
    return settled(gateway);
  };
  const first = await open();
  const second = await open();
  await pause(10_000);
  const later = residentKilobytes(gateway);
  for (const response of held.splice(0, 2 * slowReaders)) response.destroy();
  const each = (grown: number) => `${(grown / slowReaders).toFixed(0)} KB`;
  return `${each(second - first)}, and ${each(later - second)} in the 10 s after`;
}

/** Waits until the resident set has stayed within one per cent for three seconds, or for half a minute. */
async function settled(gateway: ChildProcess): Promise<number> {
  let last = residentKilobytes(gateway);
  for (let quiet = 0, waited = 0; quiet < 3 && waited < 30; waited++) {
    await pause(1000);
    const current = residentKilobytes(gateway);
    quiet = Math.abs(current - last) < last / 100 ? quiet + 1 : 0;
    last = current;
  }
  return last;
}

function residentKilobytes({ pid }: ChildProcess): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
