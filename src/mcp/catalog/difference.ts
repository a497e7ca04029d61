// Differences between two definitions, as sentences for the operator. Characters that cannot be seen are written as escapes.
import { type Definition, isMap } from './definition.ts';

/** A value that differs. */
export interface Difference {
  /** JSON pointer (RFC 6901) to the value. */
  readonly pointer: string;
  readonly text: string;
}

const maxDifferences = 20;
/** Of a value that is shown, and of a text around the place where it changed. */
const maxShown = 240;
const maxPointer = 256;
const contextLength = 40;

/** The first differences, in the order of the recorded definition; then what was added. */
export function differencesOf(recorded: Definition, seen: Definition): Difference[] {
  const found: Difference[] = [];
  compare('', recorded, seen, found);
  return found;
}

function compare(pointer: string, before: unknown, after: unknown, found: Difference[]): void {
  if (before === after || found.length >= maxDifferences) return;
  const areLists = Array.isArray(before) && Array.isArray(after);
  if (!areLists && !(isMap(before) && isMap(after))) {
    const areTexts = typeof before === 'string' && typeof after === 'string';
    found.push({ pointer, text: areTexts ? changeOfText(before, after) : `${show(before)} is now ${show(after)}` });
    return;
  }
  const [old, now] = [before, after] as [Definition, Definition];
  for (const name of new Set([...Object.keys(old), ...Object.keys(now)])) {
    if (found.length >= maxDifferences) return;
    const below = cut(`${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`, maxPointer);
    if (!Object.hasOwn(now, name)) found.push({ pointer: below, text: `is gone; it was ${show(old[name])}` });
    else if (!Object.hasOwn(old, name)) found.push({ pointer: below, text: `is new: ${show(now[name])}` });
    else compare(below, old[name], now[name], found);
  }
}

/** Both texts around the part that differs. */
function changeOfText(before: string, after: string): string {
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && before[start] === after[start]) start += 1;
  let end = 0;
  while (end < shorter - start && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  const part = (text: string): string => {
    const from = Math.max(0, start - contextLength);
    const to = Math.min(text.length, text.length - end + contextLength);
    return `${from > 0 ? '…' : ''}${show(text.slice(from, to))}${to < text.length ? '…' : ''}`;
  };
  return `${part(before)} is now ${part(after)}`;
}

/** Controls, formats, separators, private use and variation selectors: in a terminal they are not there, or do harm. */
const unseen = /\p{C}|(?! )\p{Z}|\p{Variation_Selector}/gu;

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return cut(visible(cut(text, maxShown)), maxShown);
}

/** The beginning of a text that is too long. It is a copy: a slice would keep the whole. */
export function cut(text: string, length: number): string {
  return text.length <= length ? text : `${Buffer.from(text.slice(0, length)).toString()}…`;
}

/** A text with escapes for characters that cannot be seen. */
export function visible(text: string): string {
  return text.replace(unseen, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}
