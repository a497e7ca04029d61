// Script `tour.sh`: every step of the tour for bash, to be run as a whole or pasted piece by piece. Pure.
import { quote } from '../../shell.ts';
import type { Section, TourStep } from './tour.ts';
import { bashGuard } from './try-script.ts';

/** The beginning of the text. */
export const tourScriptMark = `#!/usr/bin/env bash
# Tour of the development gateway.`;

/** The text of `tour.sh`, which reads the shorthands of `trySh` and stands at `path`. */
export function tourScript(sections: readonly Section[], { path, trySh }: Record<'path' | 'trySh', string>): string {
  const blocks = sections.map(({ title, steps }) => [`##### ${title}`, ...steps.map(block)].join('\n\n'));
  return `${tourScriptMark} Run it as a whole: bash ${quote(path)}
${bashGuard(path)}
# Or paste lines into a bash of your own, after this one:
. ${quote(trySh)}
if [ "\${BASH_SOURCE[0]:-}" = "$0" ]; then begin_tour; set -v; fi

${blocks.join('\n\n\n')}


end_tour
`;
}

/** Bash shows the lines while it runs them, so that the comments are the headings of the answers. */
function block({ says, command, expect }: TourStep): string {
  const status = /^(\d{3}):/.exec(says)?.[1] ?? (/^(call|ask|try|curl -sS -i) /.test(command) ? '200' : '');
  const expected = expect === undefined ? '' : ` | expect ${quote(status)} ${quote(expect)}`;
  return `# ${says}\n${command}${expected}`;
}
