// Command `portcullis keys report`: the use of API keys by the audit log, for the migration to tokens.
import { Command } from 'commander';
import { createKeyUsage, type KeyUsage, type KeyUse } from '../../audit/reading/key-usage.ts';
import { timeOf } from '../../audit/reading/record.ts';
import { pairRequests } from '../../audit/reading/requests.ts';
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
import { configuredKeys } from './keys-list.ts';

interface KeyReportOptions extends PeriodOptions {
  readonly config: string;
  readonly format: TableFormat;
  readonly json?: boolean;
}

/** A key and its use. Times are instants as text. */
interface KeyRow {
  readonly key: string;
  readonly authenticator: string;
  readonly client: string | undefined;
  /** `gone` is no key of the file any more. The others are those of `keys list`. */
  readonly state: string;
  readonly requests: number;
  readonly refused: number;
  readonly lastUsed: string | undefined;
  /** The most frequent ones first. */
  readonly calls: readonly string[];
  readonly addresses: readonly string[];
  readonly until: string | undefined;
  readonly daysLeft: number | undefined;
  /** The last allowed request of the client with a token. */
  readonly lastToken: string | undefined;
  readonly advice: 'ready to switch' | 'needs a token' | 'switched' | 'not used' | 'refused' | 'gone';
}

const dayMs = 86_400_000;
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
      const keys = configuredKeys(
        await loadPolicyFile(options.config, { env, now, keysAreReviewed: true, note: noteTo(output) }),
        now(),
      );
      const isWithin = compilePeriod(options, now());
      const usage = createKeyUsage();
      const pairing = pairRequests((request) => {
        if (isWithin(timeOf(request))) usage.add(request);
      });
      const read = await readFiles(command, { paths, visit: pairing.take });
      if (read === undefined || isNothing(read, output)) return;
      pairing.end();
      const rows = rowsOf(keys, usage, now());
      if (options.json === true) {
        output.stdout.write(formatJson(rows, 2));
        return;
      }
      const { first, last } = usage.period;
      const period = Number.isFinite(first) ? `requests from ${instant(first)} to ${instant(last)}` : 'no requests';
      output.stderr.write(`${period}\n`);
      output.stdout.write(formatTable(tableOf(rows), options.format));
    });
  for (const option of periodOptions()) report.addOption(option);
  return report;
}

/** Configured keys in their order, then keys of records that the file does not have. */
function rowsOf(keys: ReturnType<typeof configuredKeys>, usage: KeyUsage, now: number): KeyRow[] {
  const isConfigured = (use: KeyUse): boolean =>
    keys.some(({ authenticator, id }) => id === use.key && authenticator === use.authenticator);
  const rowOf = (
    key: string,
    authenticator: string,
    client: string | undefined,
    end: number | undefined,
    state: string,
  ): KeyRow => {
    const use = usage.of(authenticator, key);
    const lastToken = client === undefined ? undefined : usage.lastToken(client);
    return {
      key,
      authenticator,
      client,
      state,
      requests: use?.requests ?? 0,
      refused: use?.refused ?? 0,
      lastUsed: instant(use?.last),
      calls: namesOf(use?.calls),
      addresses: namesOf(use?.addresses),
      until: instant(end),
      daysLeft: end === undefined ? undefined : Math.max(0, Math.floor((end - now) / dayMs)),
      lastToken: instant(lastToken),
      advice: state === 'gone' ? 'gone' : adviceOf(use, lastToken),
    };
  };
  return [
    ...keys.map(({ authenticator, clientId, end, id, state }) => rowOf(id, authenticator, clientId, end, state)),
    ...usage
      .all()
      .filter((use) => !isConfigured(use))
      .map(({ authenticator, client, key }) => rowOf(key, authenticator, client, undefined, 'gone')),
  ];
}

function adviceOf(use: KeyUse | undefined, lastToken: number | undefined): KeyRow['advice'] {
  if (use === undefined) return lastToken === undefined ? 'not used' : 'switched';
  if (use.requests === 0) return 'refused';
  return lastToken === undefined ? 'needs a token' : 'ready to switch';
}

function namesOf(counts: ReadonlyMap<string, number> = new Map()): string[] {
  return [...counts].sort(([, one], [, other]) => other - one).map(([name]) => name);
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

function instant(time: number | undefined): string | undefined {
  return time === undefined || !Number.isFinite(time) ? undefined : `${new Date(time).toISOString().slice(0, 19)}Z`;
}
