// Command-line program: the table of commands, and the exit codes of errors.
import { Command, CommanderError } from 'commander';
import { ConfigError, formatProblem } from '../config/problem.ts';
import { installUndici } from './global-undici.ts';
import type { Signals } from './signals.ts';
import { printable, printableLines } from './table.ts';
import { packageVersion } from './version.ts';

/** The commands, in the order of the help text, each loaded on use. A new command is a file in this folder and a line here. */
export const commands = {
  serve: async (signals?: Signals) => (await loadServe()).serveCommand(signals),
  check: async () => (await import('./policy/check.ts')).checkCommand(),
  test: async () => (await import('./policy/test-policy.ts')).testCommand(),
  dev: async () => (await import('./dev.ts')).devCommand(),
  keys: async () => (await import('./keys/keys.ts')).keysCommand(),
  revoke: async () => (await import('./revoke/revoke.ts')).revokeCommand(),
  certs: async () => (await import('./certs/certs.ts')).certsCommand(),
  audit: async () => (await import('./audit/audit.ts')).auditCommand(),
  catalog: async () => (await import('./catalog.ts')).catalogCommand(),
  'who-can': async () => (await import('./policy/who-can.ts')).whoCanCommand(),
  replay: async () => (await import('./policy/replay.ts')).replayCommand(),
  explain: async () => (await import('./policy/explain.ts')).explainCommand(),
  diff: async () => (await import('./policy/diff.ts')).diffCommand(),
  schema: async () => (await import('./schema.ts')).schemaCommand(),
} satisfies Record<string, (signals?: Signals) => Promise<Command>>;

async function loadServe() {
  await installUndici();
  return import('./serve.ts');
}

/**
 * Runs one command line. Sets the exit code: 2 for misuse, 1 for a failure, else that of the command. `signals` are those that came before it, for
 * a command that handles them.
 */
export async function runProgram(argv: readonly string[], signals?: Signals): Promise<void> {
  const program = new Command('portcullis')
    .description('An authenticating gateway in front of MCP servers')
    .version(packageVersion());
  process.stdout.on('error', endUnprinted);
  process.stderr.on('error', () => {});
  const rows = Object.entries(commands);
  const named = rows.filter(([name]) => name === argv[2]);
  try {
    // Help and a misspelt name need them all.
    for (const [, load] of named.length === 0 ? rows : named) program.addCommand(await load(signals));
    configure(program);
    await program.parseAsync(argv);
  } catch (error) {
    process.exitCode = exitCodeOf(error);
    if (!(error instanceof CommanderError)) process.stderr.write(messageOf(error));
  }
}

/** For a reader that has left, such as `head`, the command goes on to its own exit code; a full disk is a failure. */
function endUnprinted(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') return;
  process.stderr.write(messageOf(error));
  process.exit(1);
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  return error instanceof ConfigError && error.unreadable ? 2 : 1;
}

/** Problems of a configuration name their place already. Other errors become one line that names the program. */
function messageOf(error: unknown): string {
  const isConfig = error instanceof ConfigError && !error.unreadable;
  const lines = isConfig
    ? error.problems.map(formatProblem)
    : [`portcullis: ${error instanceof Error ? error.message : String(error)}`];
  return lines.map((line) => `${printable(line)}\n`).join('');
}

/** Of all commands, since a subcommand does not inherit it: errors are thrown, and what they repeat of the arguments is escaped. */
function configure(command: Command): void {
  command.exitOverride().configureOutput({ writeErr: (text) => process.stderr.write(printableLines(text)) });
  for (const sub of command.commands) configure(sub);
}
