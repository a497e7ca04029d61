// Command `portcullis man`: the manual page, made from the commands themselves, in roff (man(7)).
import { Command } from 'commander';
import { type CommandWords, type OptionWords, vocabularyOf } from './completion/vocabulary.ts';
import { commandHelp, exitCodesOf } from './examples.ts';
import type { CommandOutput } from './output.ts';
import { packageVersion } from './version.ts';

/** Exit code 0: the page is printed. `wholeProgram` has all commands. */
export function manCommand(wholeProgram: () => Promise<Command>, output: CommandOutput = process): Command {
  return new Command('man').action(async () => {
    output.stdout.write(manualPage(vocabularyOf(await wholeProgram()), packageVersion()));
  });
}

/** The page of all commands. */
export function manualPage([program, ...commands]: readonly CommandWords[], version: string): string {
  const runnable = commands.filter(({ path }) => commandHelp[path] !== undefined);
  return `.TH PORTCULLIS 1 "" "mcp\\-portcullis ${roff(version)}" "User Commands"
.SH NAME
portcullis \\- ${roff(program?.does ?? '')}
.SH SYNOPSIS
.B portcullis
.I command
.RI [ options ]
.SH DESCRIPTION
Portcullis authenticates every request to an MCP server, decides by the rules of one YAML file, writes an audit record, and forwards the request with a verified identity.
.PP
.B portcullis help
.I command
prints the help of a command.
.SH COMMANDS
${runnable.map(section).join('')}.SH SIGNALS
.TP
.B SIGHUP
.B serve
reloads its file.
.TP
.B SIGTERM
.B serve
ends requests and streams in flight within
.BR server.drainTimeout ,
then itself. A second signal stops it at once.
.TP
.B SIGINT
.BR serve " and " dev
stop.
.SH ENVIRONMENT
.TP
.B NO_COLOR
Output to a terminal has no colour.
.TP
.BR HTTPS_PROXY ", " NO_PROXY
The proxy to issuers where the file names none.
.TP
.B NODE_EXTRA_CA_CERTS
Further authorities that are trusted where the file names none.
.SH "EXIT STATUS"
.TP
.B 0
Done.
.TP
.B 1
The answer is no, or it could not be done.
.TP
.B 2
Misuse, or a file cannot be read.
`;
}

function section({ arguments: values, does, options, path }: CommandWords): string {
  const help = commandHelp[path];
  const synopsis = values.map(({ name, variadic }) => ` ${name}${variadic ? '...' : ''}`).join('');
  const examples = (help?.examples ?? []).map(([line, comment]) => `# ${comment}\n${line}`).join('\n');
  return `.SS "portcullis ${roff(path)}${roff(synopsis)}"
${roff(does)}.
${options.map(optionEntry).join('')}${help === undefined ? '' : `.PP\n.EX\n${roff(examples)}\n.EE\n.PP\n${roff(exitCodesOf(help))}\n`}`;
}

function optionEntry({ does, flags, value }: OptionWords): string {
  const name = value === undefined ? '' : ` \\fI${roff(value.name)}\\fR`;
  const choices = value === undefined || value.choices.length === 0 ? '' : ` (${value.choices.join(', ')})`;
  return `.TP\n\\fB${flags.map(roff).join('\\fR, \\fB')}\\fR${name}\n${roff(does + choices)}\n`;
}

/** Text as roff shows it. No line of it is a request. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/['^~`"]/g, (character) => quotes[character] ?? character)
    .replace(/^(?=\.)/gm, '\\&');
}

const quotes: Readonly<Record<string, string>> = {
  "'": '\\(aq',
  '^': '\\(ha',
  '~': '\\(ti',
  '`': '\\(ga',
  '"': '\\(dq',
};
