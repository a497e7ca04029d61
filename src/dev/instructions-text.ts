// Instructions as text for a terminal. Explanations are shell comments, so that whole blocks can be pasted.
import type { ClientConfiguration } from './client-configurations.ts';
import type { Section } from './instructions.ts';

/** The text. `colour` allows escape sequences, for terminals only. */
export function instructionsText(
  sections: readonly Section[],
  clients: readonly ClientConfiguration[],
  colour: boolean,
): string {
  const bold = colour ? (text: string) => `\x1b[1m${text}\x1b[0m` : (text: string) => text;
  const dim = colour ? (text: string) => `\x1b[2m${text}\x1b[0m` : (text: string) => text;
  const blocks = sections.map(({ title, steps }) => {
    const lines = steps.flatMap(({ says, command }) => [
      ...(says === '' ? [] : [dim(`# ${says}`)]),
      ...(command === undefined ? [] : [command]),
    ]);
    return [bold(`# ${title}`), ...lines].join('\n');
  });
  const configurations = clients.map(
    ({ client, says, json }) => `${dim(`# ${client}: ${says}`)}\n${JSON.stringify(json)}`,
  );
  const trust = dim(
    '# The browser asks for one click. The certificates live as long as this run, or as --directory is kept.',
  );
  const closing = [bold('# Client configurations (files, not commands)'), trust, ...configurations].join('\n');
  return `${[...blocks, closing, bold('# Ctrl-C stops all of it.')].join('\n\n')}\n`;
}
