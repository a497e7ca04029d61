// HTML templates (ghtml): every value is escaped unless it is HTML already, and no text from outside can make another one look different.
import { html as escapeAll } from 'ghtml';
import { printableText } from '../../printable.ts';

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
  return typeof value === 'object' ? value[text] : escapeAll`${printableText(String(value))}`;
}

function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}

/** The first parts that fit into so many bytes; one at least. */
export function fitting<T>(parts: readonly T[], bytes: number, htmlOf: (part: T) => Html): T[] {
  let left = bytes;
  const end = parts.findIndex((part) => {
    left -= weightOf(htmlOf(part));
    return left < 0;
  });
  return parts.slice(0, end === -1 ? parts.length : Math.max(1, end));
}

/** Bytes of HTML: those of a text once it is escaped, which are up to six for a character. */
export function weightOf(value: Value): number {
  return Buffer.byteLength(textOf(value));
}

/** The text of a whole document. */
export function documentText(document: Html): string {
  return `<!doctype html>\n${document[text]}`;
}
