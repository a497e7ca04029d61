// Command `portcullis who-can`: the access review of a configuration.
import { Command, InvalidArgumentError, Option } from 'commander';
import { suggestion } from '../../config/schema/suggestion.ts';
import { date } from '../../config/schema/values.ts';
import { compileGlob } from '../../policy/glob.ts';
import { type AccessReport, ofClient, reportAccess } from '../../review/access/access.ts';
import { openPolicyFile, type PolicyFile } from '../../review/policy-file.ts';
import { type CommandOutput, misuse, noteTo } from '../output.ts';
import { formatOption, formatTable, type TableFormat } from '../table.ts';
import { accessCells, accessSummary, accessText } from './access-text.ts';

interface WhoCanOptions {
  readonly config: string;
  readonly tool?: string;
  readonly client?: string;
  readonly route?: string;
  readonly at?: number;
  readonly format: TableFormat;
  readonly json?: boolean;
}

/** The surroundings of a command that reviews policies. */
export interface PolicyCommand {
  readonly output: CommandOutput & { readonly stdout: { readonly columns?: number } };
  readonly env: NodeJS.ProcessEnv;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export const ofThisProcess: PolicyCommand = { output: process, env: process.env, now: Date.now };

/** Exit code 0: the review is printed; 1: the file has problems; 2: misuse, such as a name that the file does not have. */
export function whoCanCommand(command: PolicyCommand = ofThisProcess): Command {
  const { output, env, now } = command;
  return new Command('who-can')
    .requiredOption('-c, --config <file>', 'the configuration file')
    .option('--tool <glob>', 'only tools of this name; * is any run of characters')
    .option('--client <id>', 'only what is open to this client')
    .option('--route <name>', 'only this route')
    .addOption(instantOption())
    .addOption(formatOption())
    .option('--json', 'short for --format json')
    .action(async (options: WhoCanOptions) => {
      const file = await openPolicyFile(options.config, { env, now, note: noteTo(output) });
      try {
        const report = reportOf(file, options, options.at ?? now());
        if (typeof report === 'string') {
          return misuse(output, report);
        }
        const format = options.json === true ? 'json' : options.format;
        output.stdout.write(textOf(report, format, widthOf(command)));
        output.exitCode = 0;
      } finally {
        await file.close();
      }
    });
}

/** `--at` of a command that reviews policies. */
export function instantOption(): Option {
  return new Option(
    '--at <instant>',
    'the time of the review, such as 2026-12-31 or 2026-12-31T12:00:00Z; default now',
  ).argParser((text) => {
    const parsed = date.safeParse(text);
    if (parsed.success) return parsed.data;
    throw new InvalidArgumentError('Give a day such as 2026-12-31, or an instant such as 2026-12-31T12:00:00Z.');
  });
}

/** The width of text for people: that of the terminal within limits, or else a page. */
export function widthOf({ output }: PolicyCommand): number {
  return Math.min(Math.max(output.stdout.columns ?? 100, 80), 160);
}

/** The asked part of a review; a message where there is no such part. */
function reportOf(file: PolicyFile, { tool, client, route }: WhoCanOptions, now: number): AccessReport | string {
  const names = file.loaded.config.routes.map(({ name, path }) => name ?? path);
  if (route !== undefined && !names.includes(route)) {
    return `no route is named ${route}${suggestion(route, names)}; there are ${names.join(', ')}`;
  }
  const matches = tool === undefined ? undefined : compileGlob(tool);
  const [whole] = reportAccess([file], now, {
    clients: client === undefined ? [] : [client],
    tools: tool === undefined || tool.includes('*') ? [] : [tool],
    includes: ({ kind, name, routeName }) =>
      (route === undefined || routeName === route) && (matches === undefined || (kind === 'tool' && matches(name))),
  });
  const report = client === undefined ? whole! : ofClient(whole!, client);
  return report.items.length > 0 ? report : `no tool is named ${tool}, or it only calls others: ask about those`;
}

function textOf(report: AccessReport, format: TableFormat, width: number): string {
  if (format === 'table') return accessText(report, width);
  return formatTable(format === 'markdown' ? accessSummary(report) : accessCells(report), format);
}
