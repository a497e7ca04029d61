// Command `portcullis audit report`: counts of recorded requests by their properties.
import { Command, InvalidArgumentError, Option } from 'commander';
import { timeOf } from '../../audit/reading/record.ts';
import {
  createRequestCounts,
  type Group,
  type Property,
  properties,
  type RequestCounts,
} from '../../audit/reading/request-counts.ts';
import { pairRequests } from '../../audit/reading/requests.ts';
import { type Cell, formatOption, formatTable, type Table, type TableFormat } from '../table.ts';
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
} from './audit-reading.ts';

interface ReportOptions extends PeriodOptions {
  readonly by: readonly Property[];
  readonly top: number;
  readonly format: TableFormat;
}

/** Exit code 0: the report is printed; 1: there is no request to report; 2: a file cannot be read. */
export function auditReportCommand(command: ReadingCommand = ofProcess): Command {
  const { output, now } = command;
  const report = new Command('report')
    .description('count the requests of audit files by client, tool, rule and more')
    .addArgument(filesArgument())
    .addOption(
      new Option('--by <properties>', `of ${Object.keys(properties).join(', ')}`)
        .default(['client', 'tool'], 'client,tool')
        .argParser(parseProperties),
    )
    .addOption(new Option('--top <n>', 'rows; the other requests are summed up').default(50).argParser(parseCount))
    .addOption(formatOption())
    .action(async (paths: string[], options: ReportOptions) => {
      const isWithin = compilePeriod(options, now());
      const counts = createRequestCounts(options.by);
      const pairing = pairRequests((request) => {
        if (isWithin(timeOf(request))) counts.add(request);
      });
      const read = await readFiles(command, { paths, visit: pairing.take });
      if (read === undefined) return;
      isNothing(read, output);
      pairing.end();
      const { table, isEmpty } = tableOf(counts, options);
      output.stdout.write(formatTable(table, options.format));
      output.exitCode = isEmpty ? 1 : 0;
    });
  for (const option of periodOptions()) report.addOption(option);
  return report;
}

function parseProperties(text: string): Property[] {
  const names = [...new Set(text.split(','))];
  const unknown = names.find((name) => !Object.hasOwn(properties, name));
  if (unknown !== undefined) {
    throw new InvalidArgumentError(`"${unknown}" is none of ${Object.keys(properties).join(', ')}.`);
  }
  return names as Property[];
}

/** The rows of the largest groups, and one of all others. */
function tableOf(counts: RequestCounts, { by, top }: ReportOptions): { table: Table; isEmpty: boolean } {
  const { groups, others } = counts.groups();
  const columns = [...by, 'requests', 'allowed', 'denied', 'first', 'last', 'p50Ms', 'p99Ms'];
  const rows: Cell[][] = groups.slice(0, top).map((group) => [...group.values, ...measuresOf(group)]);
  const rest = [...groups.slice(top), ...(others === undefined ? [] : [others])];
  if (rest.length > 0) {
    const sum = (count: (group: Group) => number): number => rest.reduce((total, group) => total + count(group), 0);
    const name = others === undefined ? `(${rest.length} others)` : '(others)';
    rows.push([
      ...by.map((_, index) => (index === 0 ? name : undefined)),
      sum(({ requests }) => requests),
      sum(({ allowed }) => allowed),
      sum(({ denied }) => denied),
      instant(Math.min(...rest.map(({ first }) => first))),
      instant(Math.max(...rest.map(({ last }) => last))),
      undefined,
      undefined,
    ]);
  }
  return { table: { columns, rows }, isEmpty: rows.length === 0 };
}

function measuresOf({ requests, allowed, denied, first, last, percentileMs }: Group): Cell[] {
  return [
    requests,
    allowed,
    denied,
    instant(first),
    instant(last),
    rounded(percentileMs(0.5)),
    rounded(percentileMs(0.99)),
  ];
}

function instant(time: number): string | undefined {
  return Number.isFinite(time) ? `${new Date(time).toISOString().slice(0, 19)}Z` : undefined;
}

/** To two digits, as the buckets are not finer. */
function rounded(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Number(ms.toPrecision(2));
}
