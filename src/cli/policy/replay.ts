// Command `portcullis replay`: recorded requests under another policy.
import { Command, Option } from 'commander';
import { timeOf } from '../../audit/reading/record.ts';
import { pairRequests } from '../../audit/reading/requests.ts';

import { openPolicyFile } from '../../review/policy-file.ts';
import { createReplay } from '../../review/replay/replay.ts';
import { createReplayCounts, type ReplayReport } from '../../review/replay/replay-report.ts';
import {
  compilePeriod,
  filesArgument,
  isNothing,
  ofProcess,
  type PeriodOptions,
  parseCount,
  periodOptions,
  type ReadingCommand,
  readFiles,
} from '../audit/audit-reading.ts';
import { type CommandOutput, noteTo } from '../output.ts';
import { formatJson, formatOption, formatTable, type Table, type TableFormat } from '../table.ts';

interface ReplayOptions extends PeriodOptions {
  readonly config: string;
  readonly top: number;
  readonly format: TableFormat;
  readonly json?: boolean;
  readonly failOn?: 'allowed' | 'denied' | 'any';
}

/** Exit code 0: replayed; 1: there is no request to replay, with --fail-on a decision has changed so, or the configuration has problems; 2: a file cannot be read. */
export function replayCommand(command: ReadingCommand = ofProcess): Command {
  const { env, output, now } = command;
  const replay = new Command('replay')
    .requiredOption('-c, --config <file>', 'the new configuration file')
    .addArgument(filesArgument())
    .addOption(new Option('--top <n>', 'rows of changes').default(50).argParser(parseCount))
    .addOption(formatOption())
    .option('--json', 'print counts and changes as JSON')
    .addOption(
      new Option('--fail-on <change>', 'exit with 1 where a request is now allowed, denied, or either').choices([
        'allowed',
        'denied',
        'any',
      ]),
    )
    .action(async (paths: string[], options: ReplayOptions) => {
      const policyFile = await openPolicyFile(options.config, { env, now, note: noteTo(output) });
      try {
        const report = await run(paths, options, command, createReplay(policyFile));
        if (report === undefined) return;
        print(report, options, output);
        output.exitCode = report.requests === 0 || hasFailed(report, options.failOn) ? 1 : 0;
      } finally {
        await policyFile.close();
      }
    });
  for (const option of periodOptions()) replay.addOption(option);
  return replay;
}

async function run(
  paths: string[],
  options: ReplayOptions,
  command: ReadingCommand,
  replay: ReturnType<typeof createReplay>,
): Promise<ReplayReport | undefined> {
  const isWithin = compilePeriod(options, command.now());
  const counts = createReplayCounts();
  const pairing = pairRequests((record, line) => {
    if (isWithin(timeOf(record))) counts.add(record, replay(record, line));
  });
  const bar = progressBar(command.output);
  const read = await readFiles(command, { paths, visit: pairing.take, progress: bar.show });
  bar.clear();
  if (read === undefined || isNothing(read, command.output)) return undefined;
  pairing.end();
  const report = counts.report();
  if (report.requests === 0) command.output.stderr.write('portcullis: none of the records is of a request to replay\n');
  return report;
}

function hasFailed({ nowAllowed, nowDenied }: ReplayReport, failOn: ReplayOptions['failOn']): boolean {
  return (
    (failOn !== 'denied' && failOn !== undefined && nowAllowed > 0) ||
    (failOn !== 'allowed' && failOn !== undefined && nowDenied > 0)
  );
}

/** On a terminal: a share of the bytes, drawn anew when it has changed. */
function progressBar({ stderr }: CommandOutput): { show: (read: number, all: number) => void; clear: () => void } {
  if (stderr.isTTY !== true) return { show: () => {}, clear: () => {} };
  let shown = -1;
  return {
    show(read, all) {
      const percent = all === 0 ? 0 : Math.min(100, Math.floor((read * 100) / all));
      if (percent === shown) return;
      shown = percent;
      stderr.write(`\r[${'#'.repeat(percent / 2.5).padEnd(40)}] ${percent} %`);
    },
    clear() {
      if (shown >= 0) stderr.write(`\r${' '.repeat(50)}\r`);
    },
  };
}

function print(report: ReplayReport, options: ReplayOptions, output: CommandOutput): void {
  const table = tableOf(report, options.top);
  if (options.json === true || options.format === 'json') {
    const { first, last, changes, ...counts } = report;
    const period = { first: instant(first), last: instant(last) };
    output.stdout.write(formatJson({ ...counts, ...period, changes: changes.slice(0, options.top) }, 2));
    return;
  }
  const isTable = options.format === 'table';
  (isTable ? output.stdout : output.stderr).write(summaryOf(report));
  if (table.rows.length > 0) output.stdout.write(`${isTable ? '\n' : ''}${formatTable(table, options.format)}`);
  const left = report.changes.length - table.rows.length;
  if (left > 0) output.stderr.write(`note: ${left} more rows; --top shows them\n`);
  if (report.others > 0)
    output.stderr.write(`note: ${report.others} requests of further rows are in the counts alone\n`);
}

function summaryOf(report: ReplayReport): string {
  const { cannotBeTold, first, lacking, last, nowAllowed, nowDenied, requests, same, undecided } = report;
  const reasons = Object.entries(lacking).sort(([, one], [, other]) => other - one);
  const counts: [string, number, string][] = [
    ['same', same, ''],
    ['now allowed', nowAllowed, ''],
    ['now denied', nowDenied, ''],
    ['cannot be told', cannotBeTold, reasons.map(([fact, number]) => `${fact}: ${number}`).join('; ')],
    ['no decision', undecided, ''],
  ];
  const width = String(requests).length;
  const lines = counts.map(
    ([name, number, more]) => `  ${name.padEnd(14)}  ${String(number).padStart(width)}  ${more}`,
  );
  const period = requests > 0 && Number.isFinite(first) ? ` from ${instant(first)} to ${instant(last)}` : '';
  return `${[`${requests} requests${period}`, ...lines].map((line) => line.trimEnd()).join('\n')}\n`;
}

function tableOf({ changes }: ReplayReport, top: number): Table {
  return {
    columns: ['change', 'client', 'call', 'ruleThen', 'ruleNow', 'reason', 'requests', 'examples'],
    rows: changes
      .slice(0, top)
      .map(({ change, client, call, ruleThen, ruleNow, reason, requests, examples }) => [
        change,
        client,
        call,
        ruleThen,
        ruleNow,
        reason,
        requests,
        examples.join(' '),
      ]),
  };
}

function instant(time: number): string | undefined {
  return Number.isFinite(time) ? new Date(time).toISOString() : undefined;
}
