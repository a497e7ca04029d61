// What a command writes to and how it ends: the process, or a stand-in in tests.
import type { Command } from 'commander';

export interface CommandOutput {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
  /** 0 done, 1 the answer is no, 2 misuse. */
  exitCode?: number | string | null | undefined;
}

/** Makes a command end with 2, not commander's 1, when its arguments make no sense. */
export function misuseExitsWith2(command: Command): Command {
  return command.exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));
}
