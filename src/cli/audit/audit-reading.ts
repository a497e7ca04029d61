// Common part of the commands that read audit logs: their arguments, and their word on lines that are no records.
import { Argument, InvalidArgumentError, Option } from 'commander';
import type { z } from 'zod';
import { type ReadingOptions, type ReadingReport, readAuditLogs } from '../../audit/reading/reader.ts';
import { date, duration } from '../../config/schema/values.ts';
import { messageOf } from '../../errors.ts';
import { type CommandOutput, misuse, noteTo } from '../output.ts';

/** The output of a command that reads, and its standard input. */
export interface ReadingCommand {
  readonly output: CommandOutput;
  readonly env: NodeJS.ProcessEnv;
  readonly stdin: AsyncIterable<Buffer>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** The process. */
export const ofProcess: ReadingCommand = {
  output: process,
  env: process.env,
  stdin: process.stdin,
  now: Date.now,
};

/** `<files...>` of a command. */
export function filesArgument(): Argument {
  return new Argument('<files...>', 'audit files, rotated ones included, in any order; .gz; - is standard input');
}

/**
 * Reads the files, and writes to stderr what could not be read in them. Undefined where a file cannot be read, which is said too: the exit code is
 * then 2.
 */
export async function readFiles(
  { output, stdin }: ReadingCommand,
  options: Omit<ReadingOptions, 'stdin'>,
): Promise<ReadingReport | undefined> {
  try {
    const report = await readAuditLogs({ ...options, stdin });
    report.notes.forEach(noteTo(output));
    return report;
  } catch (error) {
    misuse(output, messageOf(error));
    return undefined;
  }
}

/** True where the files hold no record, which is said. The exit code is then 1: whatever a file of something else yields would look like a good result. */
export function isNothing({ records }: Pick<ReadingReport, 'records'>, output: CommandOutput): boolean {
  if (records > 0) return false;
  output.stderr.write('portcullis: no audit record was read\n');
  output.exitCode = 1;
  return true;
}

/** The options `--since` and `--until`, as text. */
export interface PeriodOptions {
  readonly since?: Instant;
  readonly until?: Instant;
}

/** An instant, or a duration before now. In milliseconds. */
export type Instant = { readonly ago: number } | { readonly at: number };

/** `--since` and `--until`. */
export function periodOptions(): Option[] {
  return [
    new Option('--since <time>', 'from this instant or day on, or for so long, such as 7d').argParser(parseInstant),
    new Option('--until <time>', 'before this instant or day').argParser(parseInstant),
  ];
}

/** True for times within the period; a record without a time is within none that has a bound. */
export function compilePeriod({ since, until }: PeriodOptions, now: number): (time: number) => boolean {
  const at = (instant: Instant): number => ('at' in instant ? instant.at : now - instant.ago);
  const [from, to] = [since && at(since), until && at(until)];
  return (time) => (from === undefined || time >= from) && (to === undefined || time < to);
}

function parseInstant(text: string): Instant {
  const ago = duration.safeParse(text);
  return ago.success ? { ago: ago.data } : { at: parsed(date, text, 'a day, an instant or a duration such as 7d') };
}

function parsed<T extends z.ZodType>(schema: T, text: string, expected: string): z.output<T> {
  const result = schema.safeParse(text);
  if (!result.success) throw new InvalidArgumentError(`Expected ${expected}.`);
  return result.data;
}

/** A whole number above zero. */
export function parseCount(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('Expected a whole number above zero.');
  return Number(text);
}
