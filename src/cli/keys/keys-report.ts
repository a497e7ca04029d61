// Command `portcullis keys report`: the use of API keys by the audit log, for the migration to tokens.
import { Command } from 'commander';
import { createKeyUsage } from '../../audit/reading/key-usage.ts';
import { timeOf } from '../../audit/reading/record.ts';
import { pairRequests } from '../../audit/reading/requests.ts';
import { configuredKeys, keyRevocations } from '../../review/configured-keys.ts';
import { instantText, type KeyRow, keyRows } from '../../review/key-rows.ts';
import { loadPolicyFile } from '../../review/policy-file.ts';
import {
  compilePeriod,
  filesArgument,
  isNothing,
  type PeriodOptions,
  periodOptions,
  type ReadingCommand,
  readFiles,
} from '../audit/audit-reading.ts';
import { noteTo } from '../output.ts';
import { formatJson, formatOption, formatTable, type Table, type TableFormat } from '../table.ts';

interface KeyReportOptions extends PeriodOptions {
  readonly config: string;
  readonly format: TableFormat;
  readonly json?: boolean;
}

/** Of calls and of addresses in a table. */
const maxShown = 3;

/** Exit code 0: the report is printed; 1: there is no record, or the configuration has problems; 2: a file cannot be read. */
export function keysReportCommand(command: ReadingCommand): Command {
  const { env, output, now } = command;
  const report = new Command('report')
    .description('who still uses API keys, by the audit log: how often, last when, for which tools, from where')
    .requiredOption('-c, --config <file>', 'the configuration file')
    .addArgument(filesArgument())
    .addOption(formatOption())
    .option('--json', 'print it as JSON, with lists as lists')
    .action(async (paths: string[], options: KeyReportOptions) => {
      const loaded = await loadPolicyFile(options.config, { env, now, keysAreReviewed: true, note: noteTo(output) });
      const keys = configuredKeys(loaded.config, keyRevocations(loaded), now());
      const isWithin = compilePeriod(options, now());
      const usage = createKeyUsage();
      const pairing = pairRequests((request) => {
        if (isWithin(timeOf(request))) usage.add(request);
      });
      const read = await readFiles(command, { paths, visit: pairing.take });
      if (read === undefined || isNothing(read, output)) return;
      pairing.end();
      const rows = keyRows(keys, usage, now());
      if (options.json === true) {
        output.stdout.write(formatJson(rows, 2));
        return;
      }
      const { first, last } = usage.period;
      const period = Number.isFinite(first)
        ? `requests from ${instantText(first)} to ${instantText(last)}`
        : 'no requests';
      output.stderr.write(`${period}\n`);
      output.stdout.write(formatTable(tableOf(rows), options.format));
    });
  for (const option of periodOptions()) report.addOption(option);
  return report;
}

function tableOf(rows: readonly KeyRow[]): Table {
  const columns = [
    'key',
    'client',
    'requests',
    'refused',
    'lastUsed',
    'calls',
    'addresses',
    'until',
    'daysLeft',
    'lastToken',
    'state',
    'advice',
  ];
  return {
    columns,
    rows: rows.map((row) => [
      row.key,
      row.client,
      row.requests,
      row.refused,
      row.lastUsed,
      someOf(row.calls),
      someOf(row.addresses),
      row.until,
      row.daysLeft,
      row.lastToken,
      row.state,
      row.advice,
    ]),
  };
}

function someOf(names: readonly string[]): string | undefined {
  if (names.length === 0) return undefined;
  const more = names.length > maxShown ? [`and ${names.length - maxShown} more`] : [];
  return [...names.slice(0, maxShown), ...more].join(', ');
}
