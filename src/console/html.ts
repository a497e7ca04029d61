// HTML templates (ghtml): every value is escaped unless it is HTML already.
import { html as escapeAll } from 'ghtml';

/** HTML that a template made. Only `html` makes it. */
export interface Html {
  readonly [text]: string;
}

const text = Symbol('html');

/** A value of a template: nothing for undefined, null and false. */
export type Value = Html | string | number | boolean | null | undefined | readonly Value[];

/** Makes HTML of a template. HTML goes in as it is, any other value escaped: as text, or within a quoted attribute. */
export function html(literals: TemplateStringsArray, ...values: readonly Value[]): Html {
  return { [text]: literals.map((literal, index) => literal + textOf(values[index])).join('') };
}

function textOf(value: Value): string {
  if (value === undefined || value === null || value === false) return '';
  if (isList(value)) return value.map(textOf).join('');
  return typeof value === 'object' ? value[text] : escapeAll`${printable(String(value))}`;
}

/** Characters that have no shape or turn the text around them, such as bidirectional controls. A line break and a tab stay. */
const invisible = /(?![\t\n\r])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Text with escapes, as in JSON, for such characters: no text from outside can make another one look different. */
function printable(value: string): string {
  return value.replace(invisible, (character) =>
    character.replace(/./gs, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );
}

function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}

/** The text of a whole document. */
export function documentText(document: Html): string {
  return `<!doctype html>\n${document[text]}`;
}
