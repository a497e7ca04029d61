// Meter of the request benchmarks: targets that take turns, the CPU time of a process for each request, and the table.
import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { type Dispatcher, Pool } from 'undici';
import type { Pinning } from './pinning.ts';
import type { Scene } from './scene.ts';

type Request = Dispatcher.RequestOptions;

/** One thing that is measured: what requests to a process cost it. */
export interface Target {
  readonly name: string;
  readonly process: ChildProcess;
  readonly pool: Pool;
  /** The requests of one turn, made before the clock runs. */
  prepare(count: number): Promise<(index: number) => Request>;
}

export interface Sample {
  readonly cpuMicrosPerRequest: number;
  readonly requestsPerSecond: number;
}

export interface MeterOptions {
  readonly rounds: number;
  readonly requests: number;
  /** Before anything counts, to each target. */
  readonly warmup: number;
  readonly connections: number;
}

/** A `tools/call`, or the same bytes to another path, with these headers beside those of every request. */
export function requestOf({ body }: Scene, headers: Record<string, string> = {}, path = '/mcp'): Request {
  return {
    method: 'POST',
    path,
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
    body,
  };
}

export function startProcess(scene: Scene, pinning: Pinning, args: readonly string[]): ChildProcess {
  const env = { ...scene.environment, PORT: String(scene.portOf(args[0]!)), NODE_ENV: 'production' };
  return pinning.startNode(args, env, 'measured');
}

/** Connects to the port and waits until it answers the target's own kind of request with 200. */
export async function openTarget(
  of: Omit<Target, 'pool'> & { readonly port: number; readonly connections: number },
  tls: { readonly ca: string; readonly cert?: string; readonly key?: string },
): Promise<Target> {
  const { name, process: child, prepare } = of;
  const pool = new Pool(`https://localhost:${of.port}`, { connections: of.connections, pipelining: 1, connect: tls });
  for (let attempt = 0; attempt < 100 && child.exitCode === null; attempt++) {
    const requestAt = await prepare(1);
    const ready = await pool.request(requestAt(0)).then(
      async (response) => {
        await response.body.dump();
        return response.statusCode === 200;
      },
      () => false,
    );
    if (ready) return { name, process: child, pool, prepare };
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${name} did not answer 200 on port ${of.port}`);
}

/** The targets take turns in each round. */
export async function measureAll(
  targets: readonly Target[],
  { rounds, requests, warmup, connections }: MeterOptions,
  answerBytes: number,
): Promise<Map<string, Sample[]>> {
  const samples = new Map(targets.map((target) => [target.name, [] as Sample[]]));
  // Until the compilers are done: a gateway runs for weeks, and its first tens of thousands of requests cost up to twice as much.
  for (const target of targets) await measure(target, warmup, connections, answerBytes);
  for (let round = 0; round < rounds; round++) {
    // A different order each round, so that a slow spell of the machine does not always meet the same target.
    for (let turn = 0; turn < targets.length; turn++) {
      const target = targets[(turn + round) % targets.length]!;
      samples.get(target.name)!.push(await measure(target, requests, connections, answerBytes));
    }
  }
  return samples;
}

async function measure(target: Target, count: number, connections: number, answerBytes: number): Promise<Sample> {
  const requestAt = await target.prepare(count);
  const cpuBefore = cpuMicros(target.process.pid!);
  const started = performance.now();
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const response = await target.pool.request(requestAt(next++));
      const body = await response.body.arrayBuffer();
      if (response.statusCode !== 200 || body.byteLength !== answerBytes)
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

/** CPU time that all threads of a process have used, in microseconds (Linux: nanoseconds from the scheduler). */
function cpuMicros(pid: number): number {
  let nanoseconds = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]);
  }
  return nanoseconds / 1000;
}

/** Prints a row for each target, with its ratio to the one named `base`; or every sample, for a program. */
export function printSamples(samples: ReadonlyMap<string, readonly Sample[]>, base: string, json: boolean): void {
  const rows = [...samples].map(([name, list]) => ({
    name,
    cpu: list.map((sample) => sample.cpuMicrosPerRequest),
    rate: list.map((sample) => sample.requestsPerSecond),
  }));
  if (json) {
    console.log(JSON.stringify(rows));
    return;
  }
  const measured = rows.find(({ name }) => name === base)!;
  console.log(
    '| target | CPU µs/request: median (min–max) | ratio to bare, round by round: median (min–max) | requests/s: median |',
  );
  console.log('|---|---|---|---|');
  for (const row of rows) {
    const ratios = row.cpu.map((value, round) => value / measured.cpu[round]!);
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
