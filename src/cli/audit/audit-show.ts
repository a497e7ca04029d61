// Command `portcullis audit show`: all records of one request.
import { Command } from 'commander';
import { type AuditRecord, timeOf } from '../../audit/reading/record.ts';
import { printable } from '../../printable.ts';
import { say } from '../output.ts';
import { formatJson } from '../table.ts';
import { filesArgument, ofProcess, type ReadingCommand, readFiles } from './audit-reading.ts';

/** More records than a request has: an altered log may hold any number. */
const maxShown = 1000;

/** Exit code 0: the records are printed; 1: there is none with this id; 2: a file cannot be read. */
export function auditShowCommand(command: ReadingCommand = ofProcess): Command {
  const { output } = command;
  return new Command('show')
    .description('print the records of a request')
    .argument('<id>', 'its id, as in x-request-id of the answer')
    .addArgument(filesArgument())
    .option('--json', 'print the records as JSON')
    .action(async (id: string, paths: string[], options: { json?: boolean }) => {
      const found: AuditRecord[] = [];
      const visit = (record: AuditRecord): void => {
        if (record.id === id && found.length < maxShown) found.push(record);
      };
      if ((await readFiles(command, { paths, visit })) === undefined) return;
      const records = found.sort((one, other) => timeOf(one) - timeOf(other) || one.seq - other.seq);
      if (options.json === true) output.stdout.write(formatJson(records, 2));
      else if (records.length > 0) output.stdout.write(records.map(describe).join('\n'));
      if (records.length === 0) say(output, `no record of ${id} in these files`);
      output.exitCode = records.length === 0 ? 1 : 0;
    });
}

const inHeading = new Set(['seq', 'id', 'time', 'stage', 'prev', 'hash']);
const nameWidth = 12;

function describe(record: AuditRecord): string {
  const lines = [`${record.stage} at ${record.time} (seq ${record.seq})`];
  for (const [name, value] of Object.entries(record)) {
    if (!inHeading.has(name)) lines.push(`  ${name.padEnd(nameWidth)}${textOf(value)}`);
  }
  return `${lines.map(printable).join('\n')}\n`;
}

/** Members of an object by name, items of a list one after the other; what lies deeper as JSON. */
function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? '(none)' : value.map((item) => innerText(item)).join(', ');
  if (typeof value !== 'object' || value === null) return String(value);
  return Object.entries(value)
    .map(([name, inner]) => `${name} ${innerText(inner)}`)
    .join(', ');
}

function innerText(value: unknown): string {
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value.join(' ') || '(none)';
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value);
}
