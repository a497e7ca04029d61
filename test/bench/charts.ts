// Charts of a run, one a part, drawn from its samples.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Sample } from './meter.ts';
import type { Window } from './parts/tail.ts';
import { median, quantile, type Report } from './report.ts';
import { type Bar, type BarGroup, type Chart, drawChart } from './svg.ts';

type Samples = Readonly<Record<string, readonly Sample[]>>;

const charts: Readonly<Record<string, (samples: never) => Chart>> = {
  'calls and paths': ofCost('calls'),
  rules: ofCost('rules'),
  tokens: ofCost('kinds of tokens'),
  peers: ofCost('calls beside other proxies'),
  bodies: bodiesChart,
  tail: tailChart,
};

/** Writes `PART.svg` for each part that has a chart. */
export function writeCharts(reports: readonly Report[], folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const { part, samples } of reports) {
    const chart = charts[part];
    if (chart === undefined) continue;
    writeFileSync(join(folder, `${part.split(' ')[0]}.svg`), drawChart(chart(samples as never)));
  }
}

function barOf(label: string, values: readonly number[]): Bar {
  const spread = [quantile(values, 0.25), quantile(values, 0.75)] as const;
  return { label, value: median(values), spread, emphasized: label.startsWith('portcullis') };
}

function ofCost(of: string): (samples: Samples) => Chart {
  return (samples) => ({
    title: `CPU time of ${of}, µs a request: median and quartiles`,
    groups: [
      {
        bars: Object.entries(samples).map(([name, all]) =>
          barOf(
            name,
            all.map(({ cpuMicrosPerRequest }) => cpuMicrosPerRequest),
          ),
        ),
      },
    ],
    digits: 0,
  });
}

/** Each size as ratios to the bare proxy: the figures themselves are a thousand times apart. */
function bodiesChart(samples: Samples): Chart {
  const cpuOf = (name: string) => samples[name]!.map(({ cpuMicrosPerRequest }) => cpuMicrosPerRequest);
  const groups = new Map<string, Bar[]>();
  for (const name of Object.keys(samples)) {
    const [target, size] = name.split(', ') as [string, string];
    const base = cpuOf(`bare, ${size}`);
    const bar = barOf(
      target,
      cpuOf(name).map((cpu, round) => cpu / base[round]!),
    );
    groups.set(size, [...(groups.get(size) ?? []), bar]);
  }
  return { title: 'CPU time by size, bare proxy = 1: median and quartiles', groups: groupsOf(groups), digits: 2 };
}

function tailChart(windows: readonly Window[]): Chart {
  const groups = new Map<string, Bar[]>();
  for (const load of new Set(windows.map((one) => one.load))) {
    const ofLoad = windows.filter((one) => one.load === load);
    const bars = [...new Set(ofLoad.map((one) => one.target))].map((target) =>
      barOf(
        target,
        ofLoad.filter((one) => one.target === target).map(({ p99Ms }) => p99Ms),
      ),
    );
    groups.set(load, bars);
  }
  return {
    title: '99th percentile of the latency, ms: median of the runs, and quartiles',
    groups: groupsOf(groups),
    digits: 1,
  };
}

function groupsOf(groups: ReadonlyMap<string, readonly Bar[]>): BarGroup[] {
  return [...groups].map(([label, bars]) => ({ label, bars }));
}
