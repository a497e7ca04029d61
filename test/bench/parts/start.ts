// Part `start`: time and CPU until a process is ready, its resident memory, idle and after load, beside plain Node; the time of `check`.
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { exampleFiles } from '../../config/example-files.ts';
import { openLoad } from '../load.ts';
import { cpuMsSinceStart, settledKilobytes } from '../proc.ts';
import { untilReady } from '../ready.ts';
import { median, type Report, spread } from '../report.ts';
import { callOf } from '../requests.ts';
import { deployedOptions, prepareScene, type Script } from '../scene.ts';
import type { Settings } from '../settings.ts';
import { plain } from './calls.ts';

interface Start {
  readonly target: string;
  readonly readyMs: number;
  readonly cpuMs: number;
  readonly idleMegabytes: number;
  /** Three seconds of quiet behind the load. */
  readonly loadedMegabytes: number;
}

const gateway = 'portcullis';
const targets: readonly (readonly [string, Script])[] = [
  [plain, 'test/bench/plain.ts'],
  [gateway, 'dist/main.js'],
];

export async function measureStart(settings: Settings): Promise<Report> {
  const starts: Start[] = [];
  for (let round = 0; round < settings.starts; round++) {
    settings.progress(`start: ${round + 1} of ${settings.starts}`);
    for (const [target, script] of targets) starts.push(await measure(target, script, settings));
  }
  const checksMs = await measureCheck(settings);
  const of = (target: string, get: (one: Start) => number) => starts.filter((one) => one.target === target).map(get);
  const ofGateway = (get: (one: Start) => number) => median(of(gateway, get));
  const columns = [
    (one: Start) => one.readyMs,
    (one: Start) => one.cpuMs,
    (one: Start) => one.idleMegabytes,
    (one: Start) => one.loadedMegabytes,
  ];
  return {
    part: 'start',
    told: `Node ${process.versions.node}, ${settings.starts} starts of each, ready when it answers, idle for ${settings.idle} s, then ${settings.warmup} requests on ${settings.connections} connections as load, with ${deployedOptions.join(' ')}, ${settings.pinning.described}; medians and quartiles`,
    header: ['target', 'ready, or done, after ms', 'CPU ms until then', 'resident MB, idle', 'resident MB, after load'],
    rows: [
      ...targets.map(([target]) => [target, ...columns.map((get) => spread(of(target, get), 0))]),
      ['check of gateway.example.yaml', spread(checksMs, 0), '', '', ''],
    ],
    checks: [
      { of: 'seconds until the gateway is ready', measured: ofGateway((one) => one.readyMs) / 1000, atMost: 0.5 },
      { of: 'seconds of check of the example', measured: median(checksMs) / 1000, atMost: 0.4 },
      { of: 'resident MB of the gateway, idle', measured: ofGateway((one) => one.idleMegabytes), atMost: 100 },
      {
        of: 'resident after load, to plain Node',
        measured: ofGateway((one) => one.loadedMegabytes) / median(of(plain, (one) => one.loadedMegabytes)),
        atMost: 1.5,
      },
    ],
    samples: { starts, checksMs },
  };
}

async function measure(target: string, script: Script, settings: Settings): Promise<Start> {
  const scene = await prepareScene(settings.pinning);
  try {
    const started = performance.now();
    const { pid } = scene.start(script, { nodeOptions: deployedOptions });
    await untilReady(scene, script);
    const [readyMs, cpuMs] = [performance.now() - started, cpuMsSinceStart(pid!)];
    const idle = await settledKilobytes(pid!, settings.idle);
    const load = await openLoad({
      port: scene.portOf(script),
      ca: scene.caPem,
      token: scene.token,
      body: callOf(),
      connections: settings.connections,
    });
    await load.closedLoop((sent) => sent >= settings.warmup);
    const loaded = await settledKilobytes(pid!);
    load.close();
    return { target, readyMs, cpuMs, idleMegabytes: idle / 1024, loadedMegabytes: loaded / 1024 };
  } finally {
    await scene.close();
  }
}

/** `check` of the example with the files that it names. */
async function measureCheck({ starts, pinning }: Settings): Promise<number[]> {
  const directory = mkdtempSync(join(tmpdir(), 'portcullis-check-'));
  const times: number[] = [];
  try {
    for (const [name, content] of Object.entries(await exampleFiles(Date.now()))) {
      mkdirSync(dirname(join(directory, name)), { recursive: true });
      writeFileSync(join(directory, name), content, { mode: 0o600 });
    }
    const file = join(directory, 'gateway.yaml');
    copyFileSync('gateway.example.yaml', file);
    for (let round = 0; round < starts; round++) {
      const started = performance.now();
      const [code] = await once(
        pinning.start([process.execPath, 'dist/main.js', 'check', '-c', file], {}, 'measured'),
        'exit',
      );
      times.push(performance.now() - started);
      if (code !== 0) throw new Error(`check of the example ended with ${code}`);
    }
    return times;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
