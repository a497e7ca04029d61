// Vocabulary of completion: the commands with their options, and the kind of each value.
import type { Argument, Command, Option } from 'commander';
import { pathOf } from '../examples.ts';

/** A command with what may follow it. */
export interface CommandWords {
  /** Its words below the program: `keys list`; empty for the program. */
  readonly path: string;
  readonly does: string;
  readonly subcommands: readonly { readonly name: string; readonly does: string }[];
  readonly options: readonly OptionWords[];
  readonly arguments: readonly Value[];
}

/** An option. */
export interface OptionWords {
  /** `-c` and `--config`. */
  readonly flags: readonly string[];
  readonly does: string;
  /** Absent for a switch. */
  readonly value?: Value;
}

/** The value of an option or an argument. */
export interface Value {
  readonly name: string;
  readonly kind: 'choice' | 'directory' | 'file' | 'route' | 'other';
  readonly choices: readonly string[];
  /** May be repeated. */
  readonly variadic: boolean;
}

/** All commands, the program first. */
export function vocabularyOf(program: Command): readonly CommandWords[] {
  const commands = [program, ...program.commands.flatMap((command) => [command, ...command.commands])];
  return commands.flatMap((command) => [wordsOf(command), ...helpOf(command)]);
}

/** The command `help` of a group, which commander does not have among the commands of it. */
function helpOf(group: Command): readonly CommandWords[] {
  if (group.commands.length === 0) return [];
  const choices = group.commands.map((command) => command.name());
  return [
    {
      path: `${pathOf(group)} help`.trim(),
      does: 'display help for command',
      subcommands: [],
      options: [],
      arguments: [{ name: 'command', kind: 'choice', choices, variadic: false }],
    },
  ];
}

function wordsOf(command: Command): CommandWords {
  const help = command.createHelp();
  return {
    path: pathOf(command),
    does: command.description(),
    subcommands: help.visibleCommands(command).map(named),
    options: help.visibleOptions(command).map(optionOf),
    arguments: command.registeredArguments.map(valueOfArgument),
  };
}

function named(command: Command): { name: string; does: string } {
  return { name: command.name(), does: command.description() };
}

function optionOf(option: Option): OptionWords {
  const { argChoices, description: does, flags, long, short, variadic } = option;
  const words = [short, long].filter((flag) => flag !== undefined);
  const name = /[<[]([\w-]+)/.exec(flags)?.[1];
  if (name === undefined) return { flags: words, does };
  const choices = argChoices ?? [];
  return { flags: words, does, value: { name, kind: kindOf(long ?? '', name, choices), choices, variadic } };
}

function valueOfArgument(argument: Argument): Value {
  const choices = argument.argChoices ?? [];
  const name = argument.name();
  return { name, kind: kindOf('', name, choices), choices, variadic: argument.variadic };
}

const files = new Set(['file', 'path', 'files', 'cases', 'certificate', 'old', 'new', 'request']);

function kindOf(option: string, name: string, choices: readonly string[]): Value['kind'] {
  if (choices.length > 0) return 'choice';
  if (name === 'folder' || option === '--directory') return 'directory';
  if (option === '--route') return 'route';
  return (files.has(name) && option !== '--id') || option === '--certificate' ? 'file' : 'other';
}
