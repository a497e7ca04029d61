// Meter of the request benchmarks: targets that take turns, and the CPU time of a process for each request.
import type { ChildProcess } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { Pool } from 'undici';
import { cpuMicros } from './proc.ts';
import type { Request } from './requests.ts';

/** One thing that is measured: the cost of a kind of request to a process. */
export interface Target {
  readonly name: string;
  readonly process: ChildProcess;
  readonly pool: Pool;
  /** At the same time. */
  readonly connections: number;
  readonly answerBytes: number;
  /** Requests before anything counts. */
  readonly warmup: number;
  /** Makes the process do a full collection; undefined where there is no collector. */
  readonly collect: (() => void) | undefined;
  /** A request of this target counts as so many where requests are counted: it is so much larger. */
  readonly weight: number;
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
}

/** Connects to the port and waits until it answers the target's own kind of request with 200. */
export async function openTarget(
  of: Omit<Target, 'pool'> & { readonly port: number },
  tls: { readonly ca: string; readonly cert?: string; readonly key?: string },
): Promise<Target> {
  const { port, ...rest } = of;
  const options = { connections: of.connections, pipelining: 1, connect: tls };
  const target = { ...rest, pool: new Pool(`https://localhost:${port}`, options) };
  for (let attempt = 0; attempt < 300 && of.process.exitCode === null; attempt++) {
    const ready = await send(target, 1).then(
      () => true,
      () => false,
    );
    if (ready) return target;
    await pause(100);
  }
  // The reason.
  await send(target, 1);
  return target;
}

/** The targets take turns in each round. Yields the samples of each, in the order of the targets. */
export async function measureAll(targets: readonly Target[], { rounds, requests }: MeterOptions): Promise<Sample[][]> {
  for (const target of targets) await warmUp(target);
  const samples = targets.map((): Sample[] => []);
  for (let round = 0; round < rounds; round++) {
    // A different order each round, so that a slow spell of the machine does not always meet the same target.
    for (let turn = 0; turn < targets.length; turn++) {
      const index = (turn + round) % targets.length;
      samples[index]!.push(await measure(targets[index]!, requests));
    }
  }
  return samples;
}

/** Until the compilers are done, and past a full collection under load: what a gateway is for the weeks that it runs. */
async function warmUp(target: Target): Promise<void> {
  const half = countOf(target, target.warmup / 2);
  await send(target, half);
  const underLoad = send(target, half);
  target.collect?.();
  await underLoad;
}

async function measure(target: Target, requests: number): Promise<Sample> {
  const count = countOf(target, requests);
  // A connection that was idle for the turns of the others may be gone: its handshake is no part of a request.
  await send(target, target.connections);
  const cpuBefore = cpuMicros(target.process.pid!);
  const seconds = await send(target, count);
  return {
    cpuMicrosPerRequest: (cpuMicros(target.process.pid!) - cpuBefore) / count,
    requestsPerSecond: count / seconds,
  };
}

function countOf({ weight }: Target, requests: number): number {
  return Math.max(1, Math.round(requests / weight));
}

/** Sends so many, and yields the seconds that they took. An answer that is not as expected throws. */
async function send(target: Target, count: number): Promise<number> {
  const { name, pool, connections, answerBytes } = target;
  const requestAt = await target.prepare(count);
  const started = performance.now();
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const response = await pool.request(requestAt(next++));
      const body = await response.body.arrayBuffer();
      if (response.statusCode !== 200 || body.byteLength !== answerBytes)
        throw new Error(`${name}: wrong answer ${response.statusCode} of ${body.byteLength} bytes`);
    }
  };
  await Promise.all(Array.from({ length: Math.min(connections, count) }, worker));
  return (performance.now() - started) / 1000;
}
