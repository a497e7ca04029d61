// Command `portcullis check`: validation of a configuration file.
import { Command, Option } from 'commander';
import { ConfigError, formatProblem, type LoadedConfig, loadConfig, type Problem } from '../../config/load.ts';
import { summarize } from '../../config/summary.ts';
import { printable } from '../../printable.ts';
import type { OnlineFinding } from '../../review/online/finding.ts';
import { type CommandOutput, misuse, say } from '../output.ts';
import { formatJson, formatTable } from '../table.ts';
import { packageVersion } from '../version.ts';
import { githubCommands, sarifOf } from './check-formats.ts';

const formats = ['text', 'json', 'sarif', 'github'] as const;
type Format = (typeof formats)[number];

/** The result, as `--json` prints it. */
export interface CheckReport {
  /** No problems; with `--strict` no warnings either. */
  readonly ok: boolean;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
  /** The configuration hash of readiness, metrics and records; absent when there are problems. */
  readonly hash?: string;
  /** With `--online`. */
  readonly online?: readonly OnlineFinding[];
}

/** Exit code 0: the file is valid; 1: it has problems, or warnings with `--strict`; 2: it cannot be read. */
export function checkCommand(output: CommandOutput = process, env: NodeJS.ProcessEnv = process.env): Command {
  return new Command('check')
    .requiredOption('-c, --config <file>', 'the configuration file')
    .addOption(new Option('--format <format>', 'the form of the result').choices(formats).default('text'))
    .addOption(new Option('--json', 'short for --format json').implies({ format: 'json' }))
    .option(
      '--online',
      'ask issuers, introspection and upstreams, and look at audit files and the ends of certificates',
    )
    .option('--strict', 'exit with 1 on warnings too')
    .action(async (options: { config: string; format: Format; online?: true; strict?: boolean }) => {
      const outcome = await load(options.config, env);
      if (outcome instanceof ConfigError && outcome.unreadable) {
        return misuse(output, outcome.message);
      }
      const online =
        options.online === true && !(outcome instanceof ConfigError) ? await ask(options.config, env) : undefined;
      const report = reportOf(outcome, online, options.strict === true);
      const summary = outcome instanceof ConfigError ? [] : summarize(outcome, Date.now());
      print[options.format](report, { file: options.config, summary, output });
      output.exitCode = report.ok ? 0 : 1;
    });
}

async function load(file: string, env: NodeJS.ProcessEnv): Promise<LoadedConfig | ConfigError> {
  try {
    return await loadConfig(file, { env });
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
}

/** Loaded on use: without it nothing is asked. */
async function ask(file: string, env: NodeJS.ProcessEnv): Promise<OnlineFinding[]> {
  const { openPolicyFile } = await import('../../review/policy-file.ts');
  const { checkOnline } = await import('../../review/online/online-check.ts');
  const policyFile = await openPolicyFile(file, { env, needsSecrets: true });
  try {
    return await checkOnline(policyFile, { now: Date.now(), version: packageVersion() });
  } finally {
    await policyFile.close();
  }
}

function reportOf(
  outcome: LoadedConfig | ConfigError,
  online: readonly OnlineFinding[] | undefined,
  strict: boolean,
): CheckReport {
  if (outcome instanceof ConfigError) return { ok: false, problems: outcome.problems, warnings: outcome.warnings };
  const { warnings, hash } = outcome;
  const levels = [...(warnings.length > 0 ? ['warning'] : []), ...(online ?? []).map(({ level }) => level)];
  const ok = !levels.includes('error') && !(strict && levels.includes('warning'));
  return { ok, problems: [], warnings, hash, ...(online !== undefined && { online }) };
}

/** The report with what was found online among its problems and warnings, which annotations need to have a place. */
function placed(report: CheckReport, file: string): CheckReport {
  const of = (level: OnlineFinding['level']): Problem[] =>
    (report.online ?? [])
      .filter((finding) => finding.level === level)
      .map(({ path, message }) => ({ file, line: 1, column: 1, path, message }));
  return {
    ...report,
    problems: [...report.problems, ...of('error')],
    warnings: [...report.warnings, ...of('warning')],
  };
}

interface Printing {
  readonly file: string;
  readonly summary: readonly string[];
  readonly output: CommandOutput;
}

const print: Readonly<Record<Format, (report: CheckReport, printing: Printing) => void>> = {
  text(report, printing) {
    listProblems(report, printing.output);
    describe(report, printing);
  },
  json: (report, { output }) => void output.stdout.write(formatJson(report)),
  sarif: (report, { file, output }) =>
    void output.stdout.write(formatJson(sarifOf(placed(report, file), packageVersion()), 2)),
  github(report, printing) {
    printing.output.stdout.write(githubCommands(placed(report, printing.file)));
    describe(report, printing);
  },
};

function listProblems(report: CheckReport, output: CommandOutput): void {
  for (const problem of report.problems) say(output, formatProblem(problem));
  for (const warning of report.warnings) {
    say(output, formatProblem({ ...warning, message: `warning: ${warning.message}` }));
  }
}

function describe(report: CheckReport, { file, summary, output }: Printing): void {
  const { problems, warnings } = placed(report, file);
  const counted = [count(problems, 'problem'), count(warnings, 'warning')].filter((text) => text !== '');
  if (report.online !== undefined) {
    const rows = report.online.map(({ level, path, message }) => [level, path, message]);
    output.stdout.write(formatTable({ columns: ['found', 'part', 'says'], rows }, 'table'));
  }
  if (!report.ok) {
    say(output, `${file}: ${counted.join(', ')}`);
    return;
  }
  const lines = [[`${file}: valid`, ...counted].join(', '), `hash ${report.hash}`, ...summary];
  output.stdout.write(lines.map((line) => `${printable(line)}\n`).join(''));
}

function count(found: readonly Problem[], word: string): string {
  if (found.length === 0) return '';
  return found.length === 1 ? `1 ${word}` : `${found.length} ${word}s`;
}
