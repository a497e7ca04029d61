// Choice of one value of a form: a list of all, or a text with some of them on offer where there are too many.
import { fitting, type Html, html } from './html.ts';

/** A value with the text that is shown. */
export type Option = readonly [value: string, text: string];

/** Options of `choice`. */
export interface ChoiceOptions {
  readonly name: string;
  readonly chosen: string | undefined;
  /** The text of no value. */
  readonly none: string;
  readonly options: readonly Option[];
  /** Attributes besides the name. */
  readonly attributes?: Html;
}

/** Bytes of the options of one choice. */
const optionBytes = 4000;

/** The control of a choice. Of a long list it takes any value, so that those it does not offer can be written. */
export function choice({ attributes, chosen = '', name, none, options }: ChoiceOptions): Html {
  const optionOf = ([value, text]: Option) =>
    html`<option${value !== text && html` value="${value}"`}${value === chosen && html` selected`}>${text}</option>`;
  const offered = fitting(options, optionBytes, optionOf);
  if (offered.length === options.length)
    return html`<select name="${name}" ${attributes}>${[['', none] as const, ...options].map(optionOf)}</select>`;
  const offers = offered.map(([value, text]) => html`<option value="${value}">${value !== text && text}</option>`);
  return html`<input name="${name}" value="${chosen}" list="offers-${name}" placeholder="${none}, or one of ${options.length}" autocomplete="off" spellcheck="false" ${attributes}><datalist id="offers-${name}">${offers}</datalist>`;
}

/** The control with its label. */
export function select(
  name: string,
  label: string,
  chosen: string | undefined,
  none: string,
  options: readonly Option[],
): Html {
  return html`<label>${label}${choice({ name, chosen, none, options })}</label>`;
}

/** Each name as its own text. */
export function optionsOf(names: readonly string[]): Option[] {
  return names.map((name) => [name, name]);
}
