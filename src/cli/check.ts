// Command `portcullis check`: validation of a configuration file.
import { Command } from 'commander';
import { ConfigError, formatProblem, type LoadedConfig, loadConfig, type Problem } from '../config/load.ts';
import type { CommandOutput } from './output.ts';

/** The result, as `--json` prints it. */
export interface CheckReport {
  /** No problems; with `--strict` no warnings either. */
  readonly ok: boolean;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
  /** The configuration hash of readiness, metrics and records; absent when there are problems. */
  readonly hash?: string;
}

/** Exit code 0: the file is valid; 1: it has problems, or warnings with `--strict`; 2: it cannot be read. */
export function checkCommand(output: CommandOutput = process, env: NodeJS.ProcessEnv = process.env): Command {
  return new Command('check')
    .description('validate the configuration file, and warn of what is doubtful in it')
    .requiredOption('-c, --config <file>', 'the configuration file')
    .option('--json', 'print the result as JSON')
    .option('--strict', 'exit with 1 on warnings too')
    .action(async (options: { config: string; json?: boolean; strict?: boolean }) => {
      const outcome = await load(options.config, env);
      if (outcome instanceof ConfigError && outcome.unreadable) {
        output.stderr.write(`portcullis: ${outcome.message}\n`);
        output.exitCode = 2;
        return;
      }
      const report = reportOf(outcome, options.strict === true);
      if (options.json === true) output.stdout.write(`${JSON.stringify(report)}\n`);
      else describe(options.config, report, output);
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

function reportOf(outcome: LoadedConfig | ConfigError, strict: boolean): CheckReport {
  if (outcome instanceof ConfigError) return { ok: false, problems: outcome.problems, warnings: outcome.warnings };
  const { warnings, hash } = outcome;
  return { ok: !strict || warnings.length === 0, problems: [], warnings, hash };
}

function describe(file: string, report: CheckReport, output: CommandOutput): void {
  for (const problem of report.problems) output.stderr.write(`${formatProblem(problem)}\n`);
  for (const warning of report.warnings) {
    output.stderr.write(`${formatProblem({ ...warning, message: `warning: ${warning.message}` })}\n`);
  }
  const counted = [count(report.problems, 'problem'), count(report.warnings, 'warning')].filter((text) => text !== '');
  if (report.ok) output.stdout.write(`${[`${file}: valid`, ...counted].join(', ')}\nhash ${report.hash}\n`);
  else output.stderr.write(`${file}: ${counted.join(', ')}\n`);
}

function count(found: readonly Problem[], word: string): string {
  if (found.length === 0) return '';
  return found.length === 1 ? `1 ${word}` : `${found.length} ${word}s`;
}
