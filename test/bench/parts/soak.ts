// Part `soak`: half of the load that saturates the gateway, at a fixed rate for half an hour, with a reload every minute: memory, loop delay, failures.
import type { ChildProcess } from 'node:child_process';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { Configuration } from '../../support/configuration.ts';
import { countFullCollections } from '../collections.ts';
import { type Load, openLoad } from '../load.ts';
import { until } from '../ports.ts';
import { residentKilobytes } from '../proc.ts';
import { untilReady } from '../ready.ts';
import { quantile, type Report, slopeOf } from '../report.ts';
import { callOf } from '../requests.ts';
import { collectOnSignal, deployedOptions, prepareScene, type Scene } from '../scene.ts';
import type { Settings } from '../settings.ts';

/** A minute, ended by a collection and a reload; a sixth of a soak that is shorter than six. */
interface Period {
  readonly requests: number;
  /** Resident MB: of samples taken all the time, and of those taken as a full collection ended. */
  readonly lowest: number;
  readonly highest: number;
  readonly collected: number;
  /** MB in use behind a full collection. */
  readonly heap: number;
}

const gateway = 'dist/main.js';
/** Before it begins: V8 compiles the code of a reload anew as it is used more often, which is growth that ends. */
const warmupReloads = 300;
const connections = 32;
/** Rows of the table. The first of them is the time in which caches fill and compilers work, and does not count. */
const groups = 6;
const samplesOfPeriod = 60;
/** Of the gateway's own histogram, which reads it for a loop without any delay. */
const loopIntervalMs = 10;

export async function measureSoak(settings: Settings): Promise<Report> {
  // Two records a call come to gigabytes.
  const scene = await prepareScene(settings.pinning, { auditFile: { rotateAt: '256MiB', keepBytes: '1GiB' } });
  try {
    const collections = countFullCollections();
    const nodeOptions = ['--trace-gc', ...collectOnSignal, ...deployedOptions];
    const child = scene.start(gateway, { nodeOptions, onOutput: collections.onOutput });
    await untilReady(scene, gateway);
    const port = scene.portOf(gateway);
    const load = await openLoad({ port, ca: scene.caPem, token: scene.token, body: callOf(), connections });
    try {
      const capacity = await saturate(load, settings);
      for (let index = 0; index < warmupReloads; index++) await reload(scene, child, `warmup-${index}`);
      return reportOf(await soak({ scene, child, load, collections, perSecond: capacity / 2 }, settings), settings);
    } finally {
      load.close();
    }
  } finally {
    await scene.close();
  }
}

/** Requests a second of a closed loop behind the warm-up. */
async function saturate(load: Load, { warmup, seconds, progress }: Settings): Promise<number> {
  progress('soak: saturation');
  await load.closedLoop((sent) => sent >= warmup);
  const started = performance.now();
  const elapsed = () => (performance.now() - started) / 1000;
  const { length } = await load.closedLoop(() => elapsed() >= seconds);
  return length / elapsed();
}

function periodsOf(minutes: number) {
  const periods = Math.max(groups, Math.round(minutes));
  return { periods, settling: Math.ceil(periods / groups) };
}

interface Soaked {
  readonly perSecond: number;
  readonly latencies: readonly number[];
  readonly periods: readonly Period[];
  readonly failure: Error | undefined;
  /** The 99th percentile since the periods of settling, by the gateway's own metric. */
  readonly loopDelayMs: number;
}

async function soak(
  of: {
    readonly scene: Scene;
    readonly child: ChildProcess;
    readonly load: Load;
    readonly collections: ReturnType<typeof countFullCollections>;
    readonly perSecond: number;
  },
  { minutes, progress }: Settings,
): Promise<Soaked> {
  const { scene, child, load, collections, perSecond } = of;
  const { periods, settling } = periodsOf(minutes);
  const state: { sent: number; stopped: boolean; failure?: Error } = { sent: 0, stopped: false };
  const running = load
    .openLoop(perSecond, (sent) => {
      state.sent = sent;
      return state.stopped;
    })
    .catch((error: Error): number[] => {
      state.failure = error;
      return [];
    });
  const done: Period[] = [];
  for (let index = 0; index < periods && state.failure === undefined; index++) {
    // Begins the time that the metric is about anew.
    if (index === settling) await loopDelayMs(scene);
    const sentBefore = state.sent;
    const memory = await memoryOfPeriod(child, collections, (minutes * 60_000) / periods);
    await reload(scene, child, String(index));
    done.push({ requests: state.sent - sentBefore, ...memory });
    progress(`soak: ${done.length} of ${periods}, ${memory.collected.toFixed(1)} MB behind a collection`);
  }
  const delay = await loopDelayMs(scene);
  state.stopped = true;
  return { perSecond, latencies: await running, periods: done, failure: state.failure, loopDelayMs: delay };
}

/** A full collection is asked for at the end, so that each period has one. */
async function memoryOfPeriod(
  child: ChildProcess,
  collections: ReturnType<typeof countFullCollections>,
  milliseconds: number,
): Promise<Omit<Period, 'requests'>> {
  const resident = () => residentKilobytes(child.pid!) / 1024;
  const collected: number[] = [];
  const heaps: number[] = [];
  collections.onFullCollection = (heap) => {
    collected.push(resident());
    heaps.push(heap);
  };
  const samples: number[] = [];
  for (let index = 0; index < samplesOfPeriod; index++) {
    await pause(milliseconds / samplesOfPeriod);
    samples.push(resident());
  }
  const before = collected.length;
  child.kill('SIGUSR2');
  await until(() => collected.length > before, 'the collection');
  return {
    lowest: Math.min(...samples),
    highest: Math.max(...samples),
    collected: Math.min(...collected),
    heap: Math.min(...heaps),
  };
}

/** The gateway's own figure since it was last asked. */
async function loopDelayMs({ adminUrl }: Scene): Promise<number> {
  const metrics = await (await fetch(`${adminUrl}/metrics`)).text();
  const seconds = Number(/^nodejs_eventloop_lag_p99_seconds (\S+)$/m.exec(metrics)?.[1]);
  return seconds * 1000 - loopIntervalMs;
}

/** A rule that no call meets has another name each time. Resolves when it is in force. */
async function reload({ configFile, adminUrl }: Scene, child: ChildProcess, suffix: string): Promise<void> {
  const policy = async () => ((await (await fetch(`${adminUrl}/status`)).json()) as { policy: string }).policy;
  const before = await policy();
  const { routes, ...rest } = JSON.parse(readFileSync(configFile, 'utf8'));
  const [{ mcp, ...route }, ...others] = routes as [{ mcp: { rules: Configuration[] } }, ...Configuration[]];
  const rules = mcp.rules.filter(({ name }) => !String(name).startsWith('reload-'));
  rules.push({ name: `reload-${suffix}`, deny: { tools: [`none_${suffix}`] } });
  writeFileSync(`${configFile}.next`, JSON.stringify({ ...rest, routes: [{ ...route, mcp: { rules } }, ...others] }));
  renameSync(`${configFile}.next`, configFile);
  child.kill('SIGHUP');
  await until(async () => (await policy()) !== before, 'the reload');
}

function reportOf(soaked: Soaked, { minutes, pinning }: Settings): Report {
  const { perSecond, latencies, periods: done, failure, loopDelayMs } = soaked;
  const { periods, settling } = periodsOf(minutes);
  const settled = done.slice(settling);
  const perHour = (get: (period: Period) => number) => slopeOf(settled.map(get)) * (periods / minutes) * 60;
  const rows = Array.from({ length: Math.ceil(done.length / settling) }, (_, index) => {
    const group = done.slice(index * settling, (index + 1) * settling);
    const minute = (count: number) => ((count * minutes) / periods).toFixed(minutes < periods ? 1 : 0);
    const range = (values: number[]) => `${Math.min(...values).toFixed(1)}–${Math.max(...values).toFixed(1)}`;
    return [
      `${minute(index * settling)}–${minute(index * settling + group.length)}`,
      String(group.reduce((sum, { requests }) => sum + requests, 0)),
      range(group.map(({ collected }) => collected)),
      range(group.map(({ lowest }) => lowest)),
      range(group.map(({ highest }) => highest)),
      range(group.map(({ heap }) => heap)),
    ];
  });
  const ms = (share: number) => quantile(latencies, share).toFixed(2);
  const failed = failure === undefined ? '' : `. It ended early: ${failure.message}`;
  return {
    part: 'soak',
    told: `Node ${process.versions.node}, ${minutes} minutes of ${perSecond.toFixed(0)} requests a second at intended times on ${connections} connections, half of what saturates it, ${periods} reloads behind ${warmupReloads} of warm-up, with ${deployedOptions.join(' ')}, TLS on both sides, ${pinning.described}. Latency: median ${ms(0.5)} ms, 99th percentile ${ms(0.99)} ms, longest ${ms(1)} ms. Slope of the lowest sample of each period: ${perHour(({ lowest }) => lowest).toFixed(1)} MB/h${failed}`,
    header: [
      'minutes',
      'requests',
      'resident MB behind a full collection',
      'lowest of a minute',
      'highest of a minute',
      'heap MB behind a full collection',
    ],
    rows,
    checks: [
      {
        of: 'resident MB an hour, behind full collections',
        measured: perHour(({ collected }) => collected),
        atMost: 1,
      },
      { of: 'heap MB an hour, behind full collections', measured: perHour(({ heap }) => heap), atMost: 1 },
      { of: 'loop delay, 99th percentile, ms', measured: loopDelayMs, atMost: 10 },
      { of: 'failed requests', measured: failure === undefined ? 0 : 1, atMost: 0 },
      { of: 'reloads that are missing', measured: periods - done.length, atMost: 0 },
    ],
    samples: { periods: done, perSecond, loopDelayMs },
  };
}
