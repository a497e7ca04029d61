// Command `portcullis audit`: offline work with audit files.
import { Command } from 'commander';
import { type ChainReport, verifyChain } from '../audit/verify.ts';
import { auditReportCommand } from './audit-report.ts';
import { auditShowCommand } from './audit-show.ts';
import { auditTailCommand } from './audit-tail.ts';
import type { CommandOutput } from './output.ts';

/** Exit code 0: the hash chain is valid; 1: it is broken, or there is no record; 2: a file cannot be read. */
export function auditCommand(output: CommandOutput = process): Command {
  const verify = new Command('verify')
    .description('check the hash chain over the files of one audit log, rotated ones included, in any order')
    .argument('<files...>', 'audit files')
    .option('--json', 'print the result as JSON')
    .action(async (files: string[], options: { json?: boolean }) => {
      const report = await verifyChain(files).catch((error: unknown) => {
        output.stderr.write(`portcullis: ${error instanceof Error ? error.message : String(error)}\n`);
      });
      if (report === undefined) {
        output.exitCode = 2;
        return;
      }
      output.stdout.write(options.json === true ? `${JSON.stringify(report)}\n` : describe(report));
      output.exitCode = report.valid ? 0 : 1;
    });
  return new Command('audit')
    .description('work with audit files')
    .addCommand(verify)
    .addCommand(auditShowCommand())
    .addCommand(auditTailCommand())
    .addCommand(auditReportCommand());
}

function describe(report: ChainReport): string {
  const lines = report.notes.map((note) => `note: ${note}`);
  if (report.valid) {
    const { records, files, firstSeq, lastSeq, lastHash } = report;
    lines.push(`valid: ${records} records in ${files.length} file(s), seq ${firstSeq} to ${lastSeq}`);
    lines.push(`last hash: ${lastHash}`);
  } else if (report.break === undefined) {
    lines.push('NO RECORDS: there is nothing to verify');
  } else {
    const { file, line, reason } = report.break;
    lines.push(`BROKEN at ${file}:${line}: ${reason}`, `${report.records} record(s) hold together`);
  }
  return `${lines.join('\n')}\n`;
}
