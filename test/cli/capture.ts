// A stand-in for the process that remembers what a command wrote.
import type { Command } from 'commander';

export function capture() {
  let out = '';
  let err = '';
  return {
    stdout: {
      write(text: string) {
        out += text;
      },
    },
    stderr: {
      write(text: string) {
        err += text;
      },
    },
    exitCode: undefined as number | string | null | undefined,
    text: () => out,
    errors: () => err,
  };
}

/** Runs a command, or one below it. A misuse that commander finds is its exit code and a message, too. */
export async function runCommand(create: (output: ReturnType<typeof capture>) => Command, args: readonly string[]) {
  const output = capture();
  const command = create(output);
  for (const each of [command, ...command.commands])
    each.exitOverride().configureOutput({ writeErr: output.stderr.write });
  const error = await command.parseAsync(args, { from: 'user' }).then(
    () => undefined,
    (thrown: Error & { exitCode?: number }) => thrown,
  );
  const exitCode = error === undefined ? output.exitCode : (error.exitCode ?? 1);
  return { out: output.text(), err: output.errors() + (error?.message ?? ''), exitCode };
}
