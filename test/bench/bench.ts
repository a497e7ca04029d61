// `npm run bench -- [PART…] [--check]`: the cost of the gateway in ratios of one run, each with its bound. Without a part: calls and paths.

import { type Contest, joined, runContest } from './contest.ts';
import { bodies } from './parts/bodies.ts';
import { calls, paths } from './parts/calls.ts';
import { rules } from './parts/rules.ts';
import { measureStart } from './parts/start.ts';
import { measureStreams } from './parts/streams.ts';
import { measureTail } from './parts/tail.ts';
import { tokens } from './parts/tokens.ts';
import { isMet, printReport, type Report } from './report.ts';
import { readCommandLine, type Settings } from './settings.ts';

type Part = (settings: Settings) => Promise<Report>;

const callsAndPaths = 'calls and paths';
const parts: Readonly<Record<string, Part>> = {
  [callsAndPaths]: contest(callsAndPaths, joined(calls, paths)),
  calls: contest('calls', calls),
  paths: contest('paths', paths),
  rules: contest('rules', rules),
  bodies: contest('bodies', bodies),
  tail: measureTail,
  tokens: contest('tokens', tokens),
  streams: measureStreams,
  start: measureStart,
};

function contest(name: string, of: Contest): Part {
  return (settings) => runContest(name, of, settings);
}

/** Calls and paths are one contest where both are asked for. */
function partsOf(chosen: readonly string[]): string[] {
  const names = chosen.includes('all') ? Object.keys(parts) : chosen.length === 0 ? ['calls', 'paths'] : chosen;
  const both = names.includes('calls') && names.includes('paths');
  const alone = names.filter((name) => !both || !['calls', 'paths', callsAndPaths].includes(name));
  return both ? [callsAndPaths, ...alone] : [...alone];
}

async function run(): Promise<void> {
  const { chosen, check, json, settings } = readCommandLine();
  const names = partsOf(chosen);
  const unknown = names.find((name) => !(name in parts));
  if (unknown !== undefined) {
    const known = Object.keys(parts).filter((name) => name !== callsAndPaths);
    throw new Error(`there is no part ${unknown}; there are ${known.join(', ')} and all`);
  }
  const reports: Report[] = [];
  for (const name of names) {
    const report = await parts[name]!(settings);
    reports.push(report);
    if (!json) printReport(report);
  }
  if (json) console.log(JSON.stringify(reports));
  if (check && !reports.every(({ checks }) => checks.every(isMet))) process.exitCode = 1;
}

await run().catch((error: Error) => {
  console.error(`bench: ${error.message}`);
  process.exitCode = 2;
});
