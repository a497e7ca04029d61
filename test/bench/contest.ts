// Contest of a part: entries that take turns in fresh processes of one run, and the ratios of their CPU time.
import type { ChildProcess } from 'node:child_process';
import { measureAll, openTarget, type Sample, type Target } from './meter.ts';
import { median, type Report, spread } from './report.ts';
import { requestOf } from './requests.ts';
import {
  collectOnSignal,
  defaultAnswerBytes,
  prepareScene,
  type Scene,
  type SceneOptions,
  type Script,
} from './scene.ts';
import type { Settings } from './settings.ts';

/** A target before its process runs. Entries of one script share the process. */
export interface Entry extends Pick<Target, 'name' | 'prepare'>, Partial<Pick<Target, 'weight' | 'answerBytes'>> {
  readonly script: Script;
  /** Name of the entry that its ratio in the table is to. */
  readonly base: string;
  readonly connections?: number;
  /** Shown by the connection, in PEM. */
  readonly certificate?: { readonly cert: string; readonly key: string };
}

/** The median ratio, round by round, of the CPU time of one entry to that of another. */
export interface Bound {
  readonly of: string;
  readonly to: string;
  readonly atMost: number;
}

export interface Contest {
  readonly scene?: SceneOptions;
  entries(scene: Scene): readonly Entry[] | Promise<readonly Entry[]>;
  readonly bounds: readonly Bound[];
}

/** One contest with the entries and bounds of both, each entry once. Their scenes must be the same. */
export function joined(one: Contest, other: Contest): Contest {
  return {
    async entries(scene) {
      const all = [...(await one.entries(scene)), ...(await other.entries(scene))];
      return [...new Map(all.map((entry) => [entry.name, entry])).values()];
    },
    bounds: [...one.bounds, ...other.bounds],
  };
}

/** Runs a contest in fresh processes, as many times as the settings say. */
export async function runContest(part: string, contest: Contest, settings: Settings): Promise<Report> {
  const gathered = new Map<string, { entry: Entry; samples: Sample[] }>();
  for (let run = 0; run < settings.runs; run++) {
    // A process keeps the luck of its start, in the choices of its compilers and the places of its memory, for as long as it lives.
    for (const { entry, samples } of await measureFreshProcesses(contest, settings)) {
      gathered.set(entry.name, { entry, samples: [...(gathered.get(entry.name)?.samples ?? []), ...samples] });
    }
  }
  const cpuOf = (name: string) => gathered.get(name)!.samples.map((sample) => sample.cpuMicrosPerRequest);
  const ratios = (of: string, to: string): number[] => {
    const base = cpuOf(to);
    return cpuOf(of).map((cpu, round) => cpu / base[round]!);
  };
  const { runs, rounds, requests, warmup, connections, pinning } = settings;
  return {
    part,
    told: `Node ${process.versions.node}, ${runs} runs with fresh processes, ${rounds} rounds of ${requests} requests in each behind ${warmup} of warm-up with a full collection, ${connections} connections, TLS on both sides, ${pinning.described}; medians and quartiles`,
    header: ['target', 'CPU µs/request', 'ratio, round by round', 'to', 'requests/s'],
    rows: [...gathered].map(([name, { entry, samples }]) => [
      name,
      spread(cpuOf(name), 0),
      spread(ratios(name, entry.base), 2),
      entry.base,
      median(samples.map((sample) => sample.requestsPerSecond)).toFixed(0),
    ]),
    checks: contest.bounds.map(({ of, to, atMost }) => ({
      of: `${of}, to ${to}`,
      measured: median(ratios(of, to)),
      atMost,
    })),
    samples: Object.fromEntries([...gathered].map(([name, { samples }]) => [name, samples])),
  };
}

async function measureFreshProcesses(contest: Contest, settings: Settings) {
  const scene = await prepareScene(settings.pinning, contest.scene);
  const targets: Target[] = [];
  try {
    const entries = await contest.entries(scene);
    const children = new Map<Script, ChildProcess>();
    for (const entry of entries) {
      const child = children.get(entry.script) ?? scene.start(entry.script, { nodeOptions: collectOnSignal });
      children.set(entry.script, child);
      targets.push(await open(scene, entry, child, settings));
    }
    const samples = await measureAll(targets, settings);
    return entries.map((entry, index) => ({ entry, samples: samples[index]! }));
  } finally {
    for (const target of targets) await target.pool.destroy();
    await scene.close();
  }
}

function open(scene: Scene, entry: Entry, child: ChildProcess, settings: Settings): Promise<Target> {
  const { script, certificate, base: _base, ...rest } = entry;
  const usual = { connections: settings.connections, answerBytes: defaultAnswerBytes, weight: 1 };
  return openTarget(
    { ...usual, ...rest, process: child, port: scene.portOf(script) },
    { ca: scene.caPem, ...certificate },
  );
}

/** An entry that sends the same request each time, with the token that any bearer may use. */
export function same(
  scene: Scene,
  entry: Omit<Entry, 'prepare'>,
  { body, path }: { readonly body: string; readonly path?: string },
): Entry {
  const request = requestOf(body, { authorization: `Bearer ${scene.token}` }, path);
  return { ...entry, prepare: async () => () => request };
}
