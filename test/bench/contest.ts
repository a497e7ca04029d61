// Contest of a part: entries that take turns in fresh processes of one run, and the ratios of their CPU time.
import type { ChildProcess } from 'node:child_process';
import { statSync } from 'node:fs';
import { measureAll, openTarget, type Sample, type Target } from './meter.ts';
import { settledKilobytes } from './proc.ts';
import { median, type Report, spread } from './report.ts';
import { type Request, requestOf } from './requests.ts';
import {
  collectOnSignal,
  defaultAnswerBytes,
  type Program,
  prepareScene,
  type Scene,
  type SceneOptions,
  type Script,
} from './scene.ts';
import type { Settings } from './settings.ts';

/** A target before its process runs. Entries of one script share the process. */
export interface Entry extends Pick<Target, 'name' | 'prepare'>, Partial<Pick<Target, 'weight' | 'answerBytes'>> {
  readonly script: Script | Program;
  /** Requests that it must refuse before it is measured, by name. */
  readonly refuses?: Readonly<Record<string, Request>>;
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
  /** Those count of which both entries are there. */
  readonly bounds: readonly Bound[];
  /** Adds the resident memory of each process to the table, before the first round and behind the last one. */
  readonly memory?: boolean;
  /** Said above the table, behind the settings. */
  readonly told?: string;
}

/** Figures of one entry, of all runs. */
interface Gathered {
  readonly entry: Entry;
  readonly samples: Sample[];
  readonly memory: Memory[];
}

interface Memory {
  readonly idleMegabytes: number;
  readonly loadedMegabytes: number;
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
  const gathered = new Map<string, Gathered>();
  for (let run = 0; run < settings.runs; run++) {
    settings.progress(`${part}: run ${run + 1} of ${settings.runs}`);
    // A process keeps the luck of its start, in the choices of its compilers and the places of its memory, for as long as it lives.
    for (const { entry, samples, memory } of await measureFreshProcesses(contest, settings)) {
      const earlier = gathered.get(entry.name);
      gathered.set(entry.name, {
        entry,
        samples: [...(earlier?.samples ?? []), ...samples],
        memory: [...(earlier?.memory ?? []), ...memory],
      });
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
    told: `Node ${process.versions.node}, ${runs} runs with fresh processes, ${rounds} rounds of ${requests} requests in each behind ${warmup} of warm-up with a full collection, ${connections} connections, TLS on both sides, ${pinning.described}; medians and quartiles${contest.told ?? ''}`,
    header: [
      'target',
      'CPU µs/request',
      'ratio, round by round',
      'to',
      'requests/s',
      ...(contest.memory ? ['resident MB, idle', 'resident MB, after load'] : []),
    ],
    rows: [...gathered].map(([name, { entry, samples, memory }]) => [
      name,
      spread(cpuOf(name), 0),
      spread(ratios(name, entry.base), 2),
      entry.base,
      median(samples.map((sample) => sample.requestsPerSecond)).toFixed(0),
      ...(memory.length > 0
        ? [
            spread(
              memory.map((one) => one.idleMegabytes),
              0,
            ),
          ]
        : []),
      ...(memory.length > 0
        ? [
            spread(
              memory.map((one) => one.loadedMegabytes),
              0,
            ),
          ]
        : []),
    ]),
    checks: contest.bounds
      .filter(({ of, to }) => gathered.has(of) && gathered.has(to))
      .map(({ of, to, atMost }) => ({ of: `${of}, to ${to}`, measured: median(ratios(of, to)), atMost })),
    samples: Object.fromEntries([...gathered].map(([name, { samples }]) => [name, samples])),
  };
}

async function measureFreshProcesses(contest: Contest, settings: Settings) {
  const scene = await prepareScene(settings.pinning, contest.scene);
  const targets: Target[] = [];
  try {
    const entries = await contest.entries(scene);
    const children = new Map<Script | Program, ChildProcess>();
    for (const entry of entries) {
      const child = children.get(entry.script) ?? scene.start(entry.script, { nodeOptions: collectOnSignal });
      children.set(entry.script, child);
      const isShared = entries.some((other) => other !== entry && other.script === entry.script);
      const warmup = isShared ? settings.warmup / 2 : settings.warmup;
      const target = await open(scene, entry, child, { ...settings, warmup });
      targets.push(target);
      for (const [name, request] of Object.entries(entry.refuses ?? {})) await expectRefusal(target, name, request);
    }
    const residents = () => Promise.all(contest.memory ? targets.map((target) => residentMegabytes(target)) : []);
    const idle = await residents();
    const samples = await measureAll(targets, settings);
    const loaded = await residents();
    for (const { name, script } of entries) expectLog(name, script, settings);
    return entries.map((entry, index) => ({
      entry,
      samples: samples[index]!,
      memory: contest.memory ? [{ idleMegabytes: idle[index]!, loadedMegabytes: loaded[index]! }] : [],
    }));
  } finally {
    for (const target of targets) await target.pool.destroy();
    await scene.close();
  }
}

/** A target that lets through what the others refuse does less than they do. A refusal may be 200 with a JSON-RPC error. */
async function expectRefusal({ name, pool }: Target, what: string, request: Request): Promise<void> {
  const { statusCode, body } = await pool.request({ ...request, reset: true });
  const answer = await body.text();
  if (statusCode === 200 && !answer.includes('"error"')) throw new Error(`${name} does not refuse ${what}`);
}

/** The line of each request has a hundred bytes at least; up to 64 KiB may not be written yet. */
function expectLog(name: string, script: Script | Program, { rounds, requests }: Settings): void {
  if (typeof script === 'string') return;
  if (statSync(script.logFile).size + 65_536 < 100 * rounds * requests)
    throw new Error(`${name} does not log each request`);
}

async function residentMegabytes({ process: { pid } }: Target): Promise<number> {
  return (await settledKilobytes(pid!)) / 1024;
}

function open(scene: Scene, entry: Entry, child: ChildProcess, settings: Settings): Promise<Target> {
  const { script, certificate, base: _base, refuses: _refuses, ...rest } = entry;
  const usual = {
    connections: settings.connections,
    answerBytes: defaultAnswerBytes,
    weight: 1,
    warmup: settings.warmup,
    collect: typeof script === 'string' ? () => void child.kill('SIGUSR2') : undefined,
  };
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
