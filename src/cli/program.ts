// The commands, and what a mistake on the command line ends with.
import { Command, CommanderError } from 'commander';
import { checkCommand } from './check.ts';
import { schemaCommand } from './schema.ts';

/** Runs one command line. The exit code is set, never forced: 2 for misuse, else what the command says. */
export async function runProgram(argv: readonly string[]): Promise<void> {
  const program = new Command('portcullis').description('An authenticating gateway in front of MCP servers');
  for (const command of [checkCommand(), schemaCommand()]) program.addCommand(command);
  throwInsteadOfExit(program);
  try {
    await program.parseAsync(argv);
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  }
}

/** Sub-commands made elsewhere do not inherit it. */
function throwInsteadOfExit(command: Command): void {
  command.exitOverride();
  for (const sub of command.commands) throwInsteadOfExit(sub);
}
