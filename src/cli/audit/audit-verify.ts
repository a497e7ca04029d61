// Command `portcullis audit verify`: the chains, their signed heads, and one statement about all of them.
import { Command } from 'commander';
import { readExpectedHeads } from '../../audit/verification/expected-heads.ts';
import { readPublicKeys } from '../../audit/verification/public-keys.ts';
import { type ChainPart, type ChainReport, verifyChain } from '../../audit/verify.ts';
import { messageOf } from '../../errors.ts';
import { printable } from '../../printable.ts';
import { type CommandOutput, misuse } from '../output.ts';
import { formatJson } from '../table.ts';

interface VerifyCommandOptions {
  readonly key: readonly string[];
  readonly expect: readonly string[];
  readonly json?: boolean;
}

/** Exit code 0: nothing is missing or changed; 1: something is, or there is no record; 2: a file cannot be read. */
export function auditVerifyCommand(output: CommandOutput): Command {
  return new Command('verify')
    .description('check hash chains and signed heads of audit logs: files of several instances and sinks, in any order')
    .argument('<files...>', 'audit files')
    .option('--key <file>', 'public key (PEM or JWKS) that signed the heads; may be repeated', collect, [])
    .option('--expect <head>', 'SEQ:HASH or state file that the chains have to reach; may be repeated', collect, [])
    .option('--json', 'print the result as JSON')
    .action(async (files: string[], options: VerifyCommandOptions) => {
      const report = await verify(files, options).catch((error: unknown) => misuse(output, messageOf(error)));
      if (report === undefined) return;
      output.stdout.write(options.json === true ? formatJson(report) : describe(report));
      output.exitCode = report.valid ? 0 : 1;
    });
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

async function verify(files: string[], { key, expect }: VerifyCommandOptions): Promise<ChainReport> {
  const keys = key.length === 0 ? undefined : await readPublicKeys(key);
  const expected = await Promise.all(expect.map((each) => readExpectedHeads(each, keys)));
  return verifyChain(files, { ...(keys && { keys }), expected: expected.flat() });
}

function describe(report: ChainReport): string {
  const { chains, notes, problems, statement, valid } = report;
  const lines = notes.map((note) => `note: ${note}`);
  if (problems.length === 0 && !valid) lines.push('NO RECORDS: there is nothing to verify');
  for (const { file, line, reason } of problems)
    lines.push(`BROKEN at ${file}${line === 0 ? '' : `:${line}`}: ${reason}`);
  if (problems.length > 0) lines.push(`${report.records} record(s) hold together`);
  if (valid) lines.push(...chains.flatMap((chain) => describeChain(report, chain)));
  if (statement !== undefined) lines.push(`PROVED: ${statement}`);
  return `${lines.map(printable).join('\n')}\n`;
}

function describeChain({ chains, isSignatureChecked }: ChainReport, chain: ChainPart): string[] {
  const { files, firstSeq, lastHash, lastSeq, records, signed } = chain;
  const name = chains.length > 1 ? `${files[0]}: ` : '';
  const lines = [
    `${name}valid: ${records} records in ${files.length} file(s), seq ${firstSeq} to ${lastSeq}`,
    `${name}last hash: ${lastHash}`,
  ];
  const { last } = signed;
  if (last === undefined) return lines;
  const checked = isSignatureChecked ? '' : ' (their signatures are not verified: give --key)';
  return [
    ...lines,
    `${name}signed heads: ${signed.heads}${checked}, the last of ${last.time} at seq ${last.seq}; ${signed.after} record(s) after the last signed head`,
  ];
}
