// Part of `portcullis explain` for a recorded request: finds its record in audit files, and prints its explanation.
import { styleText } from 'node:util';
import type { AuditRecord } from '../../audit/reading/record.ts';
import { explainRecord } from '../../review/explain/explain-record.ts';
import { openPolicyFile } from '../../review/policy-file.ts';
import { readFiles } from '../audit/audit-reading.ts';
import { type CommandOutput, isColoured, noteTo, say } from '../output.ts';
import { formatJson } from '../table.ts';
import type { Paint } from './explanation-text.ts';
import { recordText } from './record-text.ts';

/** Dependencies of the command. Tests pass others. */
export interface ExplainContext {
  readonly output: CommandOutput;
  readonly env: NodeJS.ProcessEnv;
  readonly now: () => number;
  readonly stdin: AsyncIterable<Buffer>;
}

/** Exit code 0: the configuration allows it; 1: denied, cannot be told, or no such record; 2: a file cannot be read. */
export async function printRecord(
  id: string,
  files: readonly string[],
  options: { readonly config: string; readonly json?: true },
  context: ExplainContext,
): Promise<void> {
  const { env, now, output } = context;
  const found = await findRecord(id, files, context);
  if (found === 'unreadable') return;
  if (found === undefined) {
    say(output, `no record of ${id} in these files`);
    output.exitCode = 1;
    return;
  }
  const tell = noteTo(output);
  let isWhole = true;
  const note = (sentence: string): void => {
    isWhole = false;
    tell(sentence);
  };
  const policyFile = await openPolicyFile(options.config, { env, now, note });
  try {
    const explanation = explainRecord(policyFile, found.record, found.line, isWhole);
    output.stdout.write(options.json ? jsonOf(explanation) : recordText(explanation, paintOf(context)));
    output.exitCode = explanation.now?.kind === 'allow' ? 0 : 1;
  } finally {
    await policyFile.close();
  }
}

interface Found {
  readonly record: AuditRecord;
  readonly line: Buffer;
}

/** The record with the decision: the `decided` one where there is one. */
async function findRecord(
  id: string,
  files: readonly string[],
  context: ExplainContext,
): Promise<Found | 'unreadable' | undefined> {
  let found: Found | undefined;
  const visit = (record: AuditRecord, line: Buffer): void => {
    const isDecision = record.stage === 'decided' || (record.stage === 'completed' && found === undefined);
    if (record.id === id && isDecision) found = { record, line: Buffer.from(line) };
  };
  return (await readFiles(context, { paths: [...files], visit })) === undefined ? 'unreadable' : found;
}

/** JSON for programs. */
export function jsonOf(explanation: object): string {
  return formatJson(explanation, 2);
}

/** Colours only where the output is a terminal. */
export function paintOf({ env, output }: ExplainContext): Paint {
  const hasColour = isColoured(output.stdout, env);
  return (colour, text) => (hasColour ? styleText(colour, text, { validateStream: false }) : text);
}
