// Output streams and exit code of a command.

/** The part of `process` that a command writes to. Tests pass another. */
export interface CommandOutput {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
  /** 0: success; 1: a negative result; 2: misuse. */
  exitCode?: number | string | null | undefined;
}
