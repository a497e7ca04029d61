// `npm run bench -- [PART…] [--check]`: the cost of the gateway in ratios of one run, each with its bound. Without a part: calls and paths.

import { writeCharts } from './charts.ts';
import { type Contest, joined, runContest } from './contest.ts';
import { bodies } from './parts/bodies.ts';
import { calls, paths } from './parts/calls.ts';
import { measureConsole } from './parts/console.ts';
import { limits, measureLimitsInRedis } from './parts/limits.ts';
import { peers } from './parts/peers.ts';
import { rules } from './parts/rules.ts';
import { shadow } from './parts/shadow.ts';
import { measureSoak } from './parts/soak.ts';
import { measureStart } from './parts/start.ts';
import { measureStreams } from './parts/streams.ts';
import { measureTail } from './parts/tail.ts';
import { tokens } from './parts/tokens.ts';
import { tracing } from './parts/tracing.ts';
import { isMet, printReport, type Report } from './report.ts';
import { describeRun, writeRunFile } from './run-file.ts';
import { readCommandLine, type Settings } from './settings.ts';

type Part = (settings: Settings) => Promise<Report>;

const callsAndPaths = 'calls and paths';
const parts: Readonly<Record<string, Part>> = {
  [callsAndPaths]: contest(callsAndPaths, joined(calls, paths)),
  calls: contest('calls', calls),
  paths: contest('paths', paths),
  rules: contest('rules', rules),
  shadow: contest('shadow', shadow),
  limits: contest('limits', limits),
  'limits-in-redis': measureLimitsInRedis,
  tracing: contest('tracing', tracing),
  bodies: contest('bodies', bodies),
  tail: measureTail,
  console: measureConsole,
  tokens: contest('tokens', tokens),
  streams: measureStreams,
  start: measureStart,
  peers: (settings) => runContest('peers', peers(settings.install), settings),
  soak: measureSoak,
};

function contest(name: string, of: Contest): Part {
  return (settings) => runContest(name, of, settings);
}

/** Calls and paths are one contest where both are asked for. The soak is asked for by its name. */
function partsOf(chosen: readonly string[]): string[] {
  const all = Object.keys(parts).filter((name) => name !== 'soak');
  const wanted = chosen.flatMap((name) => (name === 'all' ? all : [name]));
  const names = wanted.length === 0 ? ['calls', 'paths'] : [...new Set(wanted)];
  const both = names.includes('calls') && names.includes('paths');
  const alone = names.filter((name) => !both || !['calls', 'paths', callsAndPaths].includes(name));
  return both ? [callsAndPaths, ...alone] : [...alone];
}

async function run(): Promise<void> {
  const { chosen, check, json, charts, settings } = readCommandLine();
  const names = partsOf(chosen);
  const unknown = names.find((name) => !(name in parts));
  if (unknown !== undefined) {
    const known = Object.keys(parts).filter((name) => name !== callsAndPaths);
    throw new Error(`there is no part ${unknown}; there are ${known.join(', ')} and all`);
  }
  const reports: Report[] = [];
  for (const name of names) {
    settings.progress(`${name} begins`);
    try {
      reports.push(await parts[name]!(settings));
    } catch (error) {
      // The others may take twenty minutes, and are worth something without it.
      fail(error as Error, name);
      continue;
    }
    printReport(reports.at(-1)!);
    if (json !== undefined) writeRunFile(json, { run: describeRun(), reports });
  }
  if (charts !== undefined) writeCharts(reports, charts);
  settings.progress('the run is done');
  if (check && !reports.every(({ checks }) => checks.every(isMet))) process.exitCode ??= 1;
}

function fail({ message }: Error, part?: string): void {
  console.error(`bench: ${part === undefined ? '' : `${part}: `}${message}`);
  process.exitCode = 2;
}

await run().catch((error: Error) => fail(error));
