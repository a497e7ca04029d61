// Part `tail`: latency at saturation and at a fixed rate, in windows that hold a full collection, beside plain Node.
import type { ChildProcess } from 'node:child_process';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { countFullCollections } from '../collections.ts';
import { type Load, type LoadTarget, openLoad, type Until } from '../load.ts';
import { cpuMicros } from '../proc.ts';
import { untilReady } from '../ready.ts';
import { median, quantile, type Report } from '../report.ts';
import { callOf } from '../requests.ts';
import { collectOnSignal, prepareScene, type Scene, type Script } from '../scene.ts';
import type { Settings } from '../settings.ts';
import { plain } from './calls.ts';

/** One target, under one load, for one window. */
export interface Window {
  readonly target: string;
  readonly load: string;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly longestMs: number;
  readonly perSecond: number;
  /** Share of a processor that the process took. */
  readonly cpu: number;
  readonly fullCollections: number;
  /** Delay of the event loop that sends the load, 99th percentile: where it is near the latency, the window says little of the target. */
  readonly loadDelayMs: number;
}

interface Runner {
  readonly name: string;
  readonly process: ChildProcess;
  readonly target: LoadTarget;
  fullCollections(): number;
}

const gateway = 'portcullis';
const connections = 32;
const closed = `closed loop, ${connections} connections`;
const open = (share: number) => `open loop at ${share * 100} % of its capacity`;
/** A window goes on beyond its time until it has seen a full collection, so many times as long at most: plain Node may have none. */
const maxStretch = 3;

/** A loop without delay reads as much. */
const loadIntervalMs = 1;

const bounds = [
  { load: closed, atMost: 2 },
  { load: open(0.5), atMost: 3 },
] as const;

export async function measureTail(settings: Settings): Promise<Report> {
  const windows: Window[] = [];
  for (let run = 0; run < settings.runs; run++) {
    settings.progress(`tail: run ${run + 1} of ${settings.runs}`);
    windows.push(...(await measureFreshProcesses(settings)));
  }
  const of = (target: string, load: string) => windows.filter((one) => one.target === target && one.load === load);
  const loads = [closed, open(0.5), open(0.7)];
  return {
    part: 'tail',
    told: `Node ${process.versions.node}, ${settings.runs} runs with fresh processes, windows of ${settings.seconds} s and up to ${maxStretch} times as long until they hold a full collection, ${settings.warmup} requests of warm-up with a full collection, TLS on both sides, ${settings.pinning.described}; medians of the runs. At a fixed rate a latency counts from the intended time`,
    header: [
      'load',
      'target',
      'requests/s',
      'CPU',
      'p50 ms',
      'p99 ms',
      'longest ms',
      'full collections',
      'delay of the load itself, p99 ms',
    ],
    rows: loads.flatMap((load) =>
      [plain, gateway].map((target) => {
        const all = of(target, load);
        const figure = (get: (one: Window) => number, digits: number) => median(all.map(get)).toFixed(digits);
        return [
          load,
          target,
          figure((one) => one.perSecond, 0),
          figure((one) => one.cpu, 2),
          figure((one) => one.p50Ms, 2),
          figure((one) => one.p99Ms, 2),
          figure((one) => one.longestMs, 0),
          all.map((one) => one.fullCollections).join(', '),
          figure((one) => one.loadDelayMs, 1),
        ];
      }),
    ),
    checks: bounds.map(({ load, atMost }) => ({
      of: `p99 of ${gateway} to plain Node, ${load}`,
      measured: median(of(gateway, load).map((one, run) => one.p99Ms / of(plain, load)[run]!.p99Ms)),
      atMost,
    })),
    samples: windows,
  };
}

async function measureFreshProcesses(settings: Settings): Promise<Window[]> {
  const scene = await prepareScene(settings.pinning);
  try {
    const runners = [await start(scene, plain, 'test/bench/plain.ts'), await start(scene, gateway, 'dist/main.js')];
    for (const runner of runners) await warmUp(runner, settings.warmup);
    const windows: Window[] = [];
    for (const runner of runners)
      windows.push(await measure(runner, closed, settings, (load, until) => load.closedLoop(until)));
    const capacities = windows.map(({ perSecond }) => perSecond);
    for (const share of [0.5, 0.7]) {
      for (const [index, runner] of runners.entries()) {
        const atRate = (load: Load, until: Until) => load.openLoop(capacities[index]! * share, until);
        windows.push(await measure(runner, open(share), settings, atRate));
      }
    }
    return windows;
  } finally {
    await scene.close();
  }
}

async function start(scene: Scene, name: string, script: Script): Promise<Runner> {
  const collections = countFullCollections();
  const nodeOptions = ['--trace-gc', ...collectOnSignal];
  const child = scene.start(script, { nodeOptions, onOutput: collections.onOutput });
  await untilReady(scene, script);
  const target = { port: scene.portOf(script), ca: scene.caPem, token: scene.token, body: callOf(), connections };
  return { name, process: child, target, fullCollections: () => collections.count };
}

/** Past a full collection under load. */
function warmUp({ process: child, target }: Runner, requests: number): Promise<number[]> {
  return loaded(target, async (load) => {
    await load.closedLoop((sent) => sent >= requests / 2);
    const underLoad = load.closedLoop((sent) => sent >= requests / 2);
    child.kill('SIGUSR2');
    return underLoad;
  });
}

function measure(
  { name, process: child, target, fullCollections }: Runner,
  load: string,
  { seconds }: Settings,
  run: (load: Load, until: Until) => Promise<number[]>,
): Promise<Window> {
  return loaded(target, async (opened) => {
    const [cpuBefore, collectionsBefore, started] = [cpuMicros(child.pid!), fullCollections(), performance.now()];
    const elapsed = () => (performance.now() - started) / 1000;
    const delay = monitorEventLoopDelay({ resolution: loadIntervalMs });
    delay.enable();
    const latencies = await run(
      opened,
      () => elapsed() >= seconds && (fullCollections() > collectionsBefore || elapsed() >= maxStretch * seconds),
    );
    delay.disable();
    return {
      target: name,
      load,
      p50Ms: quantile(latencies, 0.5),
      p99Ms: quantile(latencies, 0.99),
      longestMs: quantile(latencies, 1),
      perSecond: latencies.length / elapsed(),
      cpu: (cpuMicros(child.pid!) - cpuBefore) / 1e6 / elapsed(),
      fullCollections: fullCollections() - collectionsBefore,
      loadDelayMs: delay.percentile(99) / 1e6 - loadIntervalMs,
    };
  });
}

/** On connections of its own: a server closes those that were idle during the turn of another one. */
async function loaded<T>(target: LoadTarget, run: (load: Load) => Promise<T>): Promise<T> {
  const load = await openLoad(target);
  try {
    return await run(load);
  } finally {
    load.close();
  }
}
