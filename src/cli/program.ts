// The commands, and what a mistake on the command line or at start ends with.
import { Command, CommanderError } from 'commander';
import { ConfigError } from '../config/load.ts';
import { auditCommand } from './audit.ts';
import { checkCommand } from './check.ts';
import { devCommand } from './dev.ts';
import { keysCommand } from './keys.ts';
import { schemaCommand } from './schema.ts';
import { packageVersion, serveCommand } from './serve.ts';

/** Runs one command line. The exit code is set, never forced: 2 for misuse, 1 for a failure, else what the command says. */
export async function runProgram(argv: readonly string[]): Promise<void> {
  const program = new Command('portcullis')
    .description('An authenticating gateway in front of MCP servers')
    .version(packageVersion());
  for (const command of [
    serveCommand(),
    checkCommand(),
    devCommand(),
    keysCommand(),
    auditCommand(),
    schemaCommand(),
  ]) {
    program.addCommand(command);
  }
  throwInsteadOfExit(program);
  try {
    await program.parseAsync(argv);
  } catch (error) {
    process.exitCode = exitCodeOf(error);
    if (!(error instanceof CommanderError)) process.stderr.write(`${messageOf(error)}\n`);
  }
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  return error instanceof ConfigError && error.unreadable ? 2 : 1;
}

/** A configuration's problems already name their place; everything else is one line that names the program. */
function messageOf(error: unknown): string {
  if (error instanceof ConfigError && !error.unreadable) return error.message;
  return `portcullis: ${error instanceof Error ? error.message : String(error)}`;
}

/** Sub-commands made elsewhere do not inherit it. */
function throwInsteadOfExit(command: Command): void {
  command.exitOverride();
  for (const sub of command.commands) throwInsteadOfExit(sub);
}
