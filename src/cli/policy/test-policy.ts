// Command `portcullis test`: policy tests, and the coverage of rules by them.
import { Command, Option } from 'commander';
import { ConfigError, formatProblem, inOrder, type Problem } from '../../config/problem.ts';
import { type CasesFile, readCasesFile } from '../../review/cases/cases-file.ts';
import { coverageOf, isUncovered, type RuleCoverage } from '../../review/cases/coverage.ts';
import { type CaseResult, runCases } from '../../review/cases/run-cases.ts';
import type { Judgement } from '../../review/judge.ts';
import { openPolicyFile, type PolicyFileOptions } from '../../review/policy-file.ts';
import { type CommandOutput, noteTo, say } from '../output.ts';
import { reporters, type TestReport } from './test-report.ts';

interface Options {
  readonly config?: string;
  readonly coverage?: true;
  readonly fullCoverage?: true;
  readonly format: keyof typeof reporters;
  readonly json?: true;
}

/**
 * Exit code 0: every case passed; 1: one failed, or with `--full-coverage` a rule was not reached, or the configuration has problems; 2: a
 * file of cases has problems or cannot be read.
 */
export function testCommand(
  output: CommandOutput = process,
  env: NodeJS.ProcessEnv = process.env,
  now: () => number = Date.now,
): Command {
  return new Command('test')
    .argument('<cases...>', 'files of cases')
    .option('-c, --config <file>', 'the configuration file; default the `policy` that a file of cases names')
    .option('--coverage', 'list the rules that no case reaches, or only on one side')
    .option('--full-coverage', 'the same, and exit with 1 when no case reaches a rule')
    .addOption(new Option('--format <format>', 'of the result').choices(Object.keys(reporters)).default('text'))
    .option('--json', 'short for --format json')
    .action(async (files: string[], options: Options) => {
      const report = await runFiles(files, options, {
        env,
        now,
        note: noteTo(output),
      });
      if ('problems' in report) {
        for (const problem of inOrder(report.problems)) say(output, formatProblem(problem));
        output.exitCode = 2;
        return;
      }
      output.stdout.write(reporters[options.json ? 'json' : options.format](report));
      output.exitCode = report.ok ? 0 : 1;
    });
}

async function runFiles(
  files: readonly string[],
  options: Options,
  context: PolicyFileOptions & { readonly now: () => number },
): Promise<TestReport | { readonly problems: readonly Problem[] }> {
  const problems: Problem[] = [];
  const read: CasesFile[] = [];
  for (const file of new Set(files)) {
    try {
      read.push(await readCasesFile(file));
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
    }
  }
  const cases: CaseResult[] = [];
  const coverage: RuleCoverage[] = [];
  for (const [policy, group] of Map.groupBy(read, (each) => options.config ?? each.policy)) {
    problems.push(...group.flatMap((each) => each.problems));
    if (policy === undefined) {
      const message = 'names no policy: add `policy:` with the path of the configuration, or give -c';
      problems.push(...group.map(({ file }) => ({ file, line: 1, column: 1, path: '', message })));
      continue;
    }
    const policyFile = await openPolicyFile(policy, context);
    const judgements: Judgement[] = [];
    try {
      for (const { cases: placed } of group) {
        const run = runCases(placed, policyFile, context.now);
        problems.push(...run.problems);
        cases.push(...run.results);
        judgements.push(...run.judgements);
      }
      coverage.push(...coverageOf(policyFile, judgements));
    } finally {
      await policyFile.close();
    }
  }
  if (problems.length > 0) return { problems };
  const covered = !options.fullCoverage || !coverage.some(isUncovered);
  const isShown = options.coverage === true || options.fullCoverage === true;
  return { ok: covered && cases.every(({ ok }) => ok), cases, coverage: isShown ? coverage : undefined };
}
