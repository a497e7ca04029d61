// Command `portcullis audit tail`: one readable line for each record of an audit file, also while it is written.
import { setTimeout as delay } from 'node:timers/promises';
import { styleText } from 'node:util';
import { Command, Option } from 'commander';
import { followFile } from '../../audit/reading/follow.ts';
import { type AuditRecord, parseRecord, requestsIn } from '../../audit/reading/record.ts';
import { openSource } from '../../audit/reading/sources.ts';
import { splitLines } from '../../audit/sinks/file/lines.ts';
import { fileProblem } from '../../errors.ts';
import { printable } from '../../printable.ts';
import { isColoured, misuse } from '../output.ts';
import { isNothing, ofProcess, parseCount, type ReadingCommand } from './audit-reading.ts';

interface TailOptions {
  readonly follow?: boolean;
  readonly lines: number;
  readonly client?: string;
  readonly tool?: string;
  readonly route?: string;
  readonly reason?: string;
  readonly decision?: string;
}

/** `--lines all`. */
const all = Number.POSITIVE_INFINITY;
/** The time between two looks at a file that is followed. */
const pauseMs = 250;

/** Exit code 0: the lines are printed; 1: there is no record; 2: the file cannot be read. Ends when standard output is closed. */
export function auditTailCommand(
  command: ReadingCommand = ofProcess,
  pause: (signal: AbortSignal) => Promise<unknown> = (signal) => delay(pauseMs, undefined, { signal }).catch(() => {}),
): Command {
  const { output } = command;
  return new Command('tail')
    .description('print the last records of an audit file, one a line')
    .argument('<file>', 'an audit file; - is standard input')
    .option('-f, --follow', 'go on with what is appended, also to the file after a rotation')
    .addOption(new Option('-n, --lines <n>', 'so many of the last records, or all').default(20).argParser(parseLines))
    .option('--client <id>', 'only of this client')
    .option('--tool <name>', 'only calls of this tool')
    .option('--route <name>', 'only of this route')
    .option('--reason <code>', 'only with this reason')
    .addOption(new Option('--decision <decision>', 'only with this decision').choices(['allow', 'deny']))
    .action(async (path: string, options: TailOptions) => {
      const ended = new AbortController();
      output.stdout.once?.('error', () => ended.abort());
      await print(path, options, command, ended.signal, pause).catch((error: unknown) => {
        misuse(output, `${path}: ${fileProblem(error)}`);
      });
    });
}

async function print(
  path: string,
  options: TailOptions,
  { env, output, stdin }: ReadingCommand,
  signal: AbortSignal,
  pause: (signal: AbortSignal) => Promise<unknown>,
): Promise<void> {
  const hasColour = isColoured(output.stdout, env);
  const last: string[] = [];
  let isLive = options.lines === all || (path === '-' && options.follow === true);
  let foreign = 0;
  let records = 0;
  const flush = (): void => {
    if (last.length > 0) output.stdout.write(last.slice(-options.lines).join(''));
    last.length = 0;
    if (foreign > 0) output.stderr.write(`note: ${foreign} line(s) are no audit record\n`);
    foreign = 0;
  };
  const caughtUp = (): void => {
    flush();
    isLive = true;
  };
  const isStream = path === '-';
  const followed = options.follow === true && !isStream;
  const chunks = isStream
    ? stdin
    : followed
      ? followFile(path, { signal, caughtUp, pause: () => pause(signal) })
      : openSource({ path, isCompressed: path.endsWith('.gz') }).chunks;
  for await (const lines of splitLines(chunks)) {
    for (const { bytes } of lines) {
      const record = parseRecord(bytes);
      if (record === undefined) foreign += 1;
      else records += 1;
      if (record !== undefined && isWanted(record, options)) last.push(`${lineOf(record, hasColour)}\n`);
      if (!isLive && last.length > 2 * options.lines) last.splice(0, options.lines);
    }
    if (isLive) flush();
    if (signal.aborted) return;
  }
  flush();
  if (!signal.aborted) isNothing({ records }, output);
}

function parseLines(text: string): number {
  return text === 'all' ? all : parseCount(text);
}

function isWanted({ decision, mcp, principal, reason, route }: AuditRecord, options: TailOptions): boolean {
  const wanted = (value: string | undefined, option: string | undefined) => option === undefined || value === option;
  return (
    wanted(principal?.clientId, options.client) &&
    wanted(mcp?.tool, options.tool) &&
    wanted(route, options.route) &&
    wanted(reason, options.reason) &&
    wanted(decision, options.decision)
  );
}

/** Time, stage or decision, caller, call, and in brackets rule, reason, status and duration. */
function lineOf(record: AuditRecord, hasColour: boolean): string {
  const { decision, durationMs, outcome, reason, rule, stage, status, time } = record;
  const isFailure = decision === 'deny' || outcome === 'failed' || outcome === 'aborted' || outcome === 'unknown';
  const verdict = (decision ?? '-').padEnd(5);
  const requests = requestsIn(record);
  const facts = [
    rule && `rule ${rule}`,
    reason && `reason ${reason}`,
    typeof status === 'number' && `status ${status}`,
    typeof durationMs === 'number' && `${durationMs} ms`,
    outcome !== undefined && outcome !== 'completed' && outcome !== 'refused' && outcome,
    requests > 1 && `${requests} requests`,
  ].filter((fact) => typeof fact === 'string');
  const coloured = hasColour && stage !== 'config' ? styleText(isFailure ? 'red' : 'green', verdict, noCheck) : verdict;
  const [when, rest] = [time ?? '-', [callerOf(record), callOf(record), facts.join(', ')].map(printable).join('  ')];
  return `${printable(when)}  ${printable(stage).padEnd(9)}  ${coloured}  ${rest}`.trimEnd();
}

/** The terminal was looked at before. */
const noCheck = { validateStream: false };

function callerOf({ client, principal }: AuditRecord): string {
  if (principal === undefined) return client?.address ?? '-';
  const { clientId, subject = '-' } = principal;
  return clientId === undefined || clientId === subject ? subject : `${clientId} (${subject})`;
}

/** Names the call of a record: its tool, its MCP method with the target, or the HTTP method and path. */
export function callOf({ http, mcp }: AuditRecord): string {
  const { method, target, tool, via } = mcp ?? {};
  if (tool !== undefined) return via === undefined ? tool : `${tool} via ${via}`;
  if (method !== undefined) return [method, target ?? []].flat(2).join(' ');
  return http === undefined ? '-' : `${http.method} ${http.path ?? ''}`.trimEnd();
}
