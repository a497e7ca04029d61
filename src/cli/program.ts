// Command-line program: the table of commands, and the exit codes of errors.
import { Command, CommanderError } from 'commander';
import { ConfigError, formatProblem } from '../config/problem.ts';
import { printable, printableLines } from '../printable.ts';
import { describe } from './examples.ts';
import { installUndici } from './global-undici.ts';
import type { Signals } from './signals.ts';
import { packageVersion } from './version.ts';

/** A command: its line in the overview, and its file, which is loaded when it runs. */
interface CommandType {
  readonly does: string;
  readonly load: (signals?: Signals) => Promise<Command>;
}

/** The commands, in the order of the overview. A new command is a file in this folder and a row here. */
export const commands = {
  serve: {
    does: 'run the gateway',
    load: async (signals?: Signals) => (await loadServe()).serveCommand(signals),
  },
  check: {
    does: 'validate the configuration file, and warn of what is doubtful in it',
    load: async () => (await import('./policy/check.ts')).checkCommand(),
  },
  test: {
    does: 'run policy tests: made-up callers and calls, and what is expected of them',
    load: async () => (await import('./policy/test-policy.ts')).testCommand(),
  },
  dev: {
    does: 'run everything on loopback: certificates, authorization server, demo Superset, gateway',
    load: async () => (await import('./dev.ts')).devCommand(),
  },
  keys: {
    does: 'work with API keys',
    load: async () => (await import('./keys/keys.ts')).keysCommand(),
  },
  revoke: {
    does: 'revoke keys, clients, subjects, tokens or certificates in the revocation file of the gateway',
    load: async () => (await import('./revoke/revoke.ts')).revokeCommand(),
  },
  certs: {
    does: 'a private certificate authority: CA, issue, renew, revoke, CRL',
    load: async () => (await import('./certs/certs.ts')).certsCommand(),
  },
  audit: {
    does: 'work with audit files',
    load: async () => (await import('./audit/audit.ts')).auditCommand(),
  },
  catalog: {
    does: 'record the tool definitions that an upstream shows, or compare them with the recorded ones',
    load: async () => (await import('./catalog.ts')).catalogCommand(),
  },
  'who-can': {
    does: 'print who may do what by a configuration file, and under which conditions',
    load: async () => (await import('./policy/who-can.ts')).whoCanCommand(),
  },
  replay: {
    does: 'decide recorded requests under another policy: now allowed, now denied, cannot be told',
    load: async () => (await import('./policy/replay.ts')).replayCommand(),
  },
  explain: {
    does: 'say why a request is allowed or denied: credentials, route, each rule, and the answer',
    load: async () => (await import('./policy/explain.ts')).explainCommand(),
  },
  diff: {
    does: 'print what a change of the configuration means: who gains, who loses, and under which condition',
    load: async () => (await import('./policy/diff.ts')).diffCommand(),
  },
  schema: {
    does: 'print the JSON Schema of the configuration file',
    load: async () => (await import('./schema.ts')).schemaCommand(),
  },
  completion: {
    does: 'print a completion script for bash, zsh or fish',
    load: async () => (await import('./completion.ts')).completionCommand(wholeProgram),
  },
  man: {
    does: 'print the manual page, in roff',
    load: async () => (await import('./man.ts')).manCommand(wholeProgram),
  },
} satisfies Record<string, CommandType>;

async function loadServe() {
  await installUndici();
  return import('./serve.ts');
}

/**
 * Runs one command line. Sets the exit code: 2 for misuse, 1 for a failure, else that of the command. `signals` are those that came before it, for
 * a command that handles them.
 */
export async function runProgram(argv: readonly string[], signals?: Signals): Promise<void> {
  process.stdout.on('error', endUnprinted);
  process.stderr.on('error', () => {});
  const [, , first, second] = argv;
  try {
    const program = await createProgram((name) => name === (first === 'help' ? second : first), signals);
    await program.parseAsync(withoutUselessHelp(argv, program));
  } catch (error) {
    process.exitCode = exitCodeOf(error);
    if (!(error instanceof CommanderError)) process.stderr.write(messageOf(error));
  }
}

/** The command line without a `help` that no command follows: commander would print the overview, where it says that it does not know the name. */
function withoutUselessHelp(argv: readonly string[], program: Command): readonly string[] {
  let at: Command | undefined = program;
  for (const [index, word] of argv.entries()) {
    if (index < 2) continue;
    const next = argv[index + 1];
    const names = [...at.commands.map((each) => each.name()), 'help'];
    if (word === 'help' && next !== undefined && !next.startsWith('-') && names.length > 1 && !names.includes(next)) {
      return argv.toSpliced(index, 1);
    }
    at = at.commands.find((each) => each.name() === word);
    if (at === undefined) break;
  }
  return argv;
}

/** The program with all its commands loaded, for what describes them. */
export function wholeProgram(): Promise<Command> {
  return createProgram(() => true);
}

/** The overview and the advice for a misspelt name need no more of the other commands than their lines. */
async function createProgram(isNeeded: (name: string) => boolean, signals?: Signals): Promise<Command> {
  const program = new Command('portcullis')
    .description('An authenticating gateway in front of MCP servers')
    .version(packageVersion());
  for (const [name, { does, load }] of Object.entries<CommandType>(commands)) {
    const command = isNeeded(name) ? await load(signals) : new Command(name);
    program.addCommand(command.description(does));
  }
  configure(program);
  return program;
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
  describe(command);
  for (const sub of command.commands) configure(sub);
}
