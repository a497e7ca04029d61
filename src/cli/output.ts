// What a command writes to and how it ends: the process, or a stand-in in tests.

export interface CommandOutput {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
  /** 0 done, 1 the answer is no, 2 misuse. */
  exitCode?: number | string | null | undefined;
}
