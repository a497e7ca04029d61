// CPU time per request and throughput: the gateway against the bare, unauthenticated @fastify/http-proxy and against plain
// node:https + undici, in one run. Both sides TLS, keep-alive, 16 connections, 1 KiB each way, medians over the rounds.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Pool } from 'undici';
import { prepareScene, type Scene } from './scene.ts';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    requests: { type: 'string', default: '6000' },
    warmup: { type: 'string', default: '15000' },
    connections: { type: 'string', default: '16' },
    json: { type: 'boolean', default: false },
  },
});
const rounds = Number(options.rounds);
const requests = Number(options.requests);
const warmup = Number(options.warmup);
const connections = Number(options.connections);

interface Target {
  readonly name: string;
  readonly process: ChildProcess;
  readonly pool: Pool;
}

interface Sample {
  readonly cpuMicrosPerRequest: number;
  readonly requestsPerSecond: number;
}

const directory = mkdtempSync(join(tmpdir(), 'portcullis-bench-'));
const scene = await prepareScene(directory);
const targets: Target[] = [];
try {
  targets.push(await startTarget('plain node:https + undici', ['test/bench/plain.ts']));
  targets.push(await startTarget('bare @fastify/http-proxy', ['test/bench/bare.ts']));
  targets.push(await startTarget('portcullis', ['dist/main.js', 'serve', '-c', scene.configFile]));
  const samples = new Map(targets.map((target) => [target.name, [] as Sample[]]));
  // Until the compilers are done: a gateway runs for weeks, and its first ten thousand requests cost up to twice as much.
  for (const target of targets) await measure(target, warmup);
  for (let round = 0; round < rounds; round++) {
    // A different order each round, so that a slow spell of the machine does not always meet the same target.
    const order = targets.map((_, index) => targets[(index + round) % targets.length]!);
    for (const target of order) samples.get(target.name)!.push(await measure(target, requests));
  }
  print(samples);
} finally {
  for (const target of targets) {
    await target.pool.destroy();
    target.process.kill('SIGKILL');
  }
  await scene.close();
  rmSync(directory, { recursive: true, force: true });
}

async function startTarget(name: string, args: string[]): Promise<Target> {
  const port = scene.portOf(args[0]!);
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...scene.environment, PORT: String(port), NODE_ENV: 'production' },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const pool = new Pool(`https://localhost:${port}`, { connections, pipelining: 1, connect: { ca: scene.caPem } });
  for (let attempt = 0; ; attempt++) {
    const ready = await pool.request(requestOf(scene)).then(
      async (response) => {
        await response.body.dump();
        return response.statusCode === 200;
      },
      () => false,
    );
    if (ready) return { name, process: child, pool };
    if (attempt === 100 || child.exitCode !== null) throw new Error(`${name} did not answer 200 on port ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function measure(target: Target, count: number): Promise<Sample> {
  const cpuBefore = cpuMicros(target.process.pid!);
  const started = performance.now();
  let sent = 0;
  const worker = async (): Promise<void> => {
    while (sent++ < count) {
      const response = await target.pool.request(requestOf(scene));
      const body = await response.body.arrayBuffer();
      if (response.statusCode !== 200 || body.byteLength !== scene.answerBytes)
        throw new Error(`${target.name}: wrong answer ${response.statusCode}`);
    }
  };
  await Promise.all(Array.from({ length: connections }, worker));
  const seconds = (performance.now() - started) / 1000;
  return {
    cpuMicrosPerRequest: (cpuMicros(target.process.pid!) - cpuBefore) / count,
    requestsPerSecond: count / seconds,
  };
}

function requestOf({ token, body }: Scene) {
  return {
    method: 'POST' as const,
    path: '/mcp',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
    },
    body,
  };
}

/** CPU time that all threads of a process have used, in microseconds (Linux: nanoseconds from the scheduler). */
function cpuMicros(pid: number): number {
  let nanoseconds = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]);
  }
  return nanoseconds / 1000;
}

function print(samples: Map<string, Sample[]>): void {
  const rows = [...samples].map(([name, list]) => ({
    name,
    cpu: list.map((sample) => sample.cpuMicrosPerRequest),
    rate: list.map((sample) => sample.requestsPerSecond),
  }));
  const bare = rows.find((row) => row.name.startsWith('bare'))!;
  if (options.json) {
    console.log(JSON.stringify(rows));
    return;
  }
  console.log(
    `Node ${process.versions.node}, ${rounds} rounds of ${requests} requests, ${connections} connections, ${scene.body.length} bytes out, ${scene.answerBytes} back\n`,
  );
  console.log(
    '| target | CPU µs/request: median (min–max) | ratio to bare, round by round: median (min–max) | requests/s: median |',
  );
  console.log('|---|---|---|---|');
  for (const row of rows) {
    const ratios = row.cpu.map((value, round) => value / bare.cpu[round]!);
    console.log(`| ${row.name} | ${spread(row.cpu, 0)} | ${spread(ratios, 2)} | ${median(row.rate).toFixed(0)} |`);
  }
}

function spread(list: number[], digits: number): string {
  return `${median(list).toFixed(digits)} (${Math.min(...list).toFixed(digits)}–${Math.max(...list).toFixed(digits)})`;
}

function median(list: number[]): number {
  const sorted = list.toSorted((left, right) => left - right);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
