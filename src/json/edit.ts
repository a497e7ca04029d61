// Edits of JSON texts: every byte outside an edit stays as it was.
import type { Span } from './members.ts';

/** Replaces what stands there. */
export interface Edit extends Span {
  readonly text: string | Buffer;
}

/** Undefined when there is nothing to change. No two edits may overlap. */
export function applyEdits(bytes: Buffer, edits: readonly Edit[]): Buffer | undefined {
  if (edits.length === 0) return undefined;
  const parts: Buffer[] = [];
  let from = 0;
  for (const { start, end, text } of edits.toSorted((one, other) => one.start - other.start)) {
    parts.push(bytes.subarray(from, start), typeof text === 'string' ? Buffer.from(text) : text);
    from = end;
  }
  return Buffer.concat([...parts, bytes.subarray(from)]);
}

/** The array without the elements that are not kept; those that are stay as they were. No edit when all are. */
export function keepElements<T extends Span>(
  bytes: Buffer,
  { start, end }: Span,
  elements: readonly T[],
  keep: (element: T) => boolean,
): Edit[] {
  const kept = elements.filter(keep);
  if (kept.length === elements.length) return [];
  const parts = kept.flatMap((element, index) => [
    index === 0 ? openingBracket : comma,
    bytes.subarray(element.start, element.end),
  ]);
  return [{ start, end, text: kept.length === 0 ? '[]' : Buffer.concat([...parts, closingBracket]) }];
}

const openingBracket = Buffer.from('[');
const comma = Buffer.from(',');
const closingBracket = Buffer.from(']');
