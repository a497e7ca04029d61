// Messages in a text of an upstream: one, or a batch of them, each of which may be taken out or replaced.
import { isArray } from '../../json/members.ts';
import { type Element, responseLimits, scanElements, scanJson } from '../../json/scanner.ts';
import type { Shape } from '../../json/shape.ts';

/** Stands for a message, or a text, of which nothing is left. */
export const nothing = Buffer.alloc(0);

/**
 * The text after `filter` was asked for each message, which yields undefined to leave one as it is: undefined when nothing changes, `nothing` when
 * nothing is left. Throws an Error for the log for what cannot be read.
 */
export function filterMessages(
  text: Buffer,
  shape: Shape,
  slots: number,
  filter: (message: Element) => Buffer | undefined,
): Buffer | undefined {
  const spans = scanJson(text, shape, slots, responseLimits);
  const start = text.findIndex((byte) => byte > 0x20);
  const whole = { start, end: text.length };
  if (!isArray(text, whole)) return filter({ ...whole, spans });
  const messages = scanElements(text, start, shape, slots, responseLimits);
  const filtered = messages.map(filter);
  if (filtered.every((each) => each === undefined)) return undefined;
  const kept = messages.flatMap(({ start: from, end }, index) => {
    const left = filtered[index] ?? text.subarray(from, end);
    return left.length === 0 ? [] : [left.toString()];
  });
  return kept.length === 0 ? nothing : Buffer.from(`[${kept.join(',')}]`);
}
