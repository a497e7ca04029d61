// Streaming reader of audit logs: many files, rotated and compressed ones too, in constant memory.
import { stat } from 'node:fs/promises';
import { fileProblem } from '../../errors.ts';
import { maxLineBytes, splitLines } from '../sinks/file/lines.ts';
import { type AuditRecord, parseRecord } from './record.ts';
import { openSource, type Source, sortByTime } from './sources.ts';

/** The files, and what is told of them while they are read. */
export interface ReadingOptions {
  /** In any order; `-` is standard input, which is read last. */
  readonly paths: readonly string[];
  readonly stdin: AsyncIterable<Buffer>;
  /** Told each record, with its line. */
  readonly visit: (record: AuditRecord, line: Buffer) => void;
  /** Told now and then how much of all bytes was read. Pipes count nothing. */
  readonly progress?: ((bytesRead: number, allBytes: number) => void) | undefined;
}

/** The lines that were read. */
export interface ReadingReport {
  readonly records: number;
  /** Lines that are no audit record. */
  readonly foreign: number;
  /** Last lines that lack their end. */
  readonly torn: number;
  /** The first place of each trouble, and files that could not be read to their end. */
  readonly notes: readonly string[];
}

/**
 * Reads the records of each file in their order, and the files by the time of their first records. A line that is no record is counted and noted.
 * Throws an Error with a public message when a file cannot be read.
 */
export async function readAuditLogs({ paths, stdin, visit, progress }: ReadingOptions): Promise<ReadingReport> {
  const report = { records: 0, foreign: 0, torn: 0, notes: [] as string[] };
  const files = await sortByTime(paths.filter((path) => path !== '-'));
  const allBytes = files.reduce((sum, { bytes }) => sum + bytes, 0);
  let bytesBefore = 0;
  for (const file of files) {
    await noteRotation(file, report.notes);
    const { chunks, bytesRead } = openSource(file);
    await readOne(file.path, chunks, report, visit, () => progress?.(bytesBefore + bytesRead(), allBytes)).catch(
      (cause: unknown) => {
        if (!file.isCompressed) throw new Error(`${file.path}: ${fileProblem(cause)}`, { cause });
        report.torn += 1;
        report.notes.push(`${file.path}: the compressed file is damaged, and its rest could not be read`);
      },
    );
    bytesBefore += file.bytes;
  }
  if (paths.includes('-')) await readOne('stdin', stdin, report, visit, () => {});
  return report;
}

/** The name may have become another file's since the order was found, and then the one meant is not read. */
async function noteRotation({ path, inode }: Source, notes: string[]): Promise<void> {
  const now = await stat(path).catch(() => undefined);
  if (now?.ino !== inode) notes.push(`${path}: was rotated in the meantime, and records are missing; read again`);
}

async function readOne(
  name: string,
  chunks: AsyncIterable<Buffer>,
  report: { records: number; foreign: number; torn: number; notes: string[] },
  visit: ReadingOptions['visit'],
  afterChunk: () => void,
): Promise<void> {
  let number = 0;
  let foreign = 0;
  for await (const lines of splitLines(chunks)) {
    for (const line of lines) {
      number += 1;
      const record = parseRecord(line.bytes);
      if (record !== undefined) {
        report.records += 1;
        visit(record, line.bytes);
      } else if (line.terminated || line.bytes.length > maxLineBytes) {
        foreign += 1;
        if (foreign === 1) report.notes.push(`${name}:${number}: not an audit record`);
      } else {
        report.torn += 1;
        report.notes.push(`${name}:${number}: the last line is torn (${line.bytes.length} bytes)`);
      }
    }
    afterChunk();
  }
  report.foreign += foreign;
  if (foreign > 1) report.notes.push(`${name}: ${foreign} lines are no audit records`);
}
