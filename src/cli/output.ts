// Output streams, exit code and shared options of a command.
import { Option } from 'commander';

/** The part of `process` that a command writes to. Tests pass another. */
export interface CommandOutput {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
  /** 0: success; 1: a negative result; 2: misuse. */
  exitCode?: number | string | null | undefined;
}

/** `--log-level` of the operator's log. */
export function logLevelOption(level: string): Option {
  return new Option('--log-level <level>', "the operator's log on stderr")
    .choices(['debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .default(level);
}
