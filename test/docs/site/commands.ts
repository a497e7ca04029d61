// Reference of the commands: the program's own help, a section for each command and subcommand.
import type { Command } from 'commander';
import { wholeProgram } from '../../../src/cli/program.ts';

/** Columns of the help text, so that it does not depend on a terminal. */
const columns = 110;

export async function commandsPage(): Promise<string> {
  const program = await wholeProgram();
  const sections = [...walk(program)].map(
    (command) => `## \`${nameOf(command)}\`\n\n\`\`\`text\n${helpOf(command).trimEnd()}\n\`\`\``,
  );
  return [
    '# Commands',
    'What `portcullis help COMMAND` prints. Exit codes: 0 done, 1 the answer is no, 2 misuse.',
    ...sections,
  ].join('\n\n');
}

/** Every command but the program itself, subcommands behind their command. */
function* walk(command: Command): Generator<Command> {
  for (const sub of command.commands) {
    yield sub;
    yield* walk(sub);
  }
}

function nameOf(command: Command): string {
  return command.parent === null ? command.name() : `${nameOf(command.parent)} ${command.name()}`;
}

function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({ writeOut: (piece) => (text += piece), getOutHelpWidth: () => columns });
  command.outputHelp();
  return text;
}
