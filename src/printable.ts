// Text without characters that a terminal acts on or that turn the text around them: controls, line separators, bidirectional controls.

const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
const unprintableInText = /(?![\t\n\r])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Text with escapes, as in JSON, for such characters. */
export function printable(text: string): string {
  return text.replace(unprintable, escaped);
}

/** The same, and tabs and line breaks stay. */
export function printableText(text: string): string {
  return text.replace(unprintableInText, escaped);
}

/** The same for text of several lines, of which only the line feeds stay. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

/** True for text that `printable` leaves as it is. */
export function isPrintable(text: string): boolean {
  return printable(text) === text;
}

function escaped(character: string): string {
  return character.replace(/./gs, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
