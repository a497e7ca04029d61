// Command `portcullis completion`: a script for bash, zsh or fish that completes commands, options, files and routes.
import { readFile } from 'node:fs/promises';
import { Argument, Command, Option } from 'commander';
import { isPrintable } from '../printable.ts';
import { bashCompletion } from './completion/bash.ts';
import { fishCompletion } from './completion/fish.ts';
import { vocabularyOf } from './completion/vocabulary.ts';
import { zshCompletion } from './completion/zsh.ts';
import { type CommandOutput, misuse } from './output.ts';

const scripts = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;

/** Exit code 0: the script is printed; 2: misuse. `wholeProgram` has all commands. The scripts themselves ask for the routes of a file. */
export function completionCommand(wholeProgram: () => Promise<Command>, output: CommandOutput = process): Command {
  return new Command('completion')
    .addArgument(new Argument('[shell]', 'the shell').choices(Object.keys(scripts)))
    .addOption(new Option('--routes <file>', 'print the routes of this configuration file').hideHelp())
    .action(async (shell: keyof typeof scripts | undefined, { routes }: { readonly routes?: string }) => {
      if (routes !== undefined) return void output.stdout.write(await routesOf(routes));
      if (shell === undefined) return misuse(output, 'which shell: bash, zsh or fish?');
      output.stdout.write(scripts[shell](vocabularyOf(await wholeProgram())));
    });
}

/** The names of the MCP routes of a file, one a line; none of a file that cannot be read. It is not validated, as that takes longer than a key press. */
async function routesOf(file: string): Promise<string> {
  try {
    const { parse } = await import('yaml');
    const { routes } = parse(await readFile(file, 'utf8')) as { readonly routes: readonly Record<string, unknown>[] };
    const names = routes.filter(({ mcp }) => mcp !== undefined).map(({ name, path }) => String(name ?? path));
    return names
      .filter(isPrintable)
      .map((name) => `${name}\n`)
      .join('');
  } catch {
    return '';
  }
}
