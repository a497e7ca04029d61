// Command `portcullis audit`: offline work with audit files.
import { Command } from 'commander';
import type { CommandOutput } from '../output.ts';
import { auditReportCommand } from './audit-report.ts';
import { auditShowCommand } from './audit-show.ts';
import { auditTailCommand } from './audit-tail.ts';
import { auditVerifyCommand } from './audit-verify.ts';

/** The commands that read audit files. */
export function auditCommand(output: CommandOutput = process): Command {
  return new Command('audit')
    .addCommand(auditVerifyCommand(output))
    .addCommand(auditShowCommand())
    .addCommand(auditTailCommand())
    .addCommand(auditReportCommand());
}
