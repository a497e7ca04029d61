// Output streams, exit code and shared options of a command.
import { InvalidArgumentError, Option } from 'commander';
import type { LogFormat } from '../log.ts';
import { isPrintable, printable } from '../printable.ts';

/** The part of `process` that a command writes to. Tests pass another. */
export interface CommandOutput {
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  /** 0: success; 1: a negative result; 2: misuse. */
  exitCode?: number | string | null | undefined;
}

/** The part of a stream that a command uses. */
export interface OutputStream {
  write(text: string): unknown;
  /** A reader that has left is an error. */
  once?(event: 'error', listener: () => void): unknown;
  /** True for a terminal. */
  readonly isTTY?: boolean;
}

/** `--log-level` of the operator's log. */
export function logLevelOption(level: string): Option {
  return new Option('--log-level <level>', "the operator's log on stderr")
    .choices(['debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .default(level);
}

/** `--log-format` of the operator's log. */
export function logFormatOption(format: LogFormat): Option {
  return new Option('--log-format <format>', 'the form of its lines')
    .choices(['json', 'ecs', 'pretty'])
    .default(format);
}

/** True for a terminal whose user has not set `NO_COLOR` (no-color.org). */
export function isColoured({ isTTY }: Pick<OutputStream, 'isTTY'>, { NO_COLOR }: NodeJS.ProcessEnv): boolean {
  return isTTY === true && !NO_COLOR;
}

/** Writes sentences beside the result. */
export function noteTo({ stderr }: Pick<CommandOutput, 'stderr'>): (sentence: string) => void {
  return (sentence) => say({ stderr }, `note: ${sentence}`);
}

/** Writes one line to stderr, with escapes for characters that a terminal acts on. */
export function say({ stderr }: Pick<CommandOutput, 'stderr'>, line: string): void {
  stderr.write(`${printable(line)}\n`);
}

/** Says why the command cannot do what was asked; its exit code is 2. */
export function misuse(output: Pick<CommandOutput, 'stderr' | 'exitCode'>, message: string): void {
  say(output, `portcullis: ${message}`);
  output.exitCode = 2;
}

/** A name that is an argument. Throws an InvalidArgumentError for what a terminal acts on: no file and no table could show it. */
export function parseName(text: string): string {
  if (text.trim() !== text || text === '') throw new InvalidArgumentError('Expected a value without spaces around it.');
  if (!isPrintable(text)) throw new InvalidArgumentError('Expected a value without control characters.');
  return text;
}

/** The names of an option that may be repeated. */
export function collectNames(text: string, before: readonly string[]): string[] {
  return [...before, parseName(text)];
}
