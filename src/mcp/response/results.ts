// What an upstream answered: JSON-RPC messages with their results, read strictly and changed without touching any other byte.

import { answerLimits, type Element, scanElements, scanJson } from '../../json/scanner.ts';
import { compileShape, type Member, type Shape } from '../../json/shape.ts';
import { textOf } from '../../json/tokens.ts';

/** Where something stands in a text, the end not included. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Replaces what stands there. */
export interface Edit extends Span {
  readonly text: string | Buffer;
}

/** The members of a result that are looked at. */
export interface ResultShape<P extends string> {
  readonly shape: Shape;
  readonly members: readonly P[];
}

/** A result that an upstream gave. */
export interface Result<P extends string> extends Span {
  /** Undefined where the result has no such member. */
  readonly member: (name: P) => Span | undefined;
}

const envelopeMembers = ['result', 'error', 'method'] as const;
const openBracket = 0x5b;
const quote = 0x22;

export function shapeOfResult<P extends string>(members: readonly P[]): ResultShape<P> {
  const inner = shapeOfMembers(members, envelopeMembers.length);
  const envelope = envelopeMembers.map((name, slot): [string, Member] => [
    name,
    name === 'result' ? { slot, shape: inner } : { slot },
  ]);
  return { shape: compileShape(new Map(envelope), false), members };
}

export function shapeOfMembers(members: readonly string[], firstSlot = 0): Shape {
  return compileShape(new Map(members.map((name, index) => [name, { slot: firstSlot + index }])), false);
}

/**
 * The results in a text of one message or a batch of them; `whole` when it must be nothing else. Throws an Error for the log when it is, or when
 * some reader could understand the text in another way.
 */
export function readResults<P extends string>(
  bytes: Buffer,
  { shape, members }: ResultShape<P>,
  whole: boolean,
): Result<P>[] {
  const slots = envelopeMembers.length + members.length;
  const spans = scanJson(bytes, shape, slots, answerLimits);
  const start = bytes.findIndex((byte) => byte > 0x20);
  const messages =
    bytes[start] === openBracket
      ? scanElements(bytes, start, shape, slots, answerLimits)
      : [{ start, end: bytes.length, spans }];
  return messages.flatMap((message) => {
    const [result, error, method] = envelopeMembers.map((_, slot) => spanOf(message, slot));
    if (whole && (result ?? error ?? method) === undefined) throw new Error('the answer is no JSON-RPC message');
    if (result === undefined) return [];
    return { ...result, member: (name) => spanOf(message, envelopeMembers.length + members.indexOf(name)) };
  });
}

export function spanOf({ spans }: Pick<Element, 'spans'>, slot: number): Span | undefined {
  const start = spans[2 * slot]!;
  return start === -1 ? undefined : { start, end: spans[2 * slot + 1]! };
}

export function isArray(bytes: Buffer, { start }: Span): boolean {
  return bytes[start] === openBracket;
}

/** The text of a string; undefined for any other value. */
export function stringAt(bytes: Buffer, span: Span | undefined): string | undefined {
  if (span === undefined || bytes[span.start] !== quote) return undefined;
  return textOf(bytes, span.start + 1, span.end - 1);
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
