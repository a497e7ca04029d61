// Members of a scanned object, by the slots of its shape: their bytes, and the values of those that are read.
import { openBrace, openBracket, quote, textOf } from './tokens.ts';

/** An object that was scanned with a shape: spans into its bytes, nothing built. */
export interface ScannedObject {
  readonly bytes: Buffer;
  readonly spans: readonly number[];
}

/** The place of a value in a text, the end not included. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** True for a member that is present. */
export function has({ spans }: ScannedObject, slot: number): boolean {
  return spans[2 * slot] !== -1;
}

/** The value as it was sent; undefined when it is absent. */
export function bytesOf({ bytes, spans }: ScannedObject, slot: number): Buffer | undefined {
  return spans[2 * slot] === -1 ? undefined : bytes.subarray(spans[2 * slot], spans[2 * slot + 1]);
}

/** A string's text; undefined when the member is absent or no string. */
export function stringOf({ bytes, spans }: ScannedObject, slot: number): string | undefined {
  const start = spans[2 * slot]!;
  return start !== -1 && bytes[start] === quote ? textOf(bytes, start + 1, spans[2 * slot + 1]! - 1) : undefined;
}

/** True for a member that is an object. */
export function isObject({ bytes, spans }: ScannedObject, slot: number): boolean {
  const start = spans[2 * slot]!;
  return start !== -1 && bytes[start] === openBrace;
}

/** True for a member that is present and not null. */
export function isGiven({ bytes, spans }: ScannedObject, slot: number): boolean {
  const start = spans[2 * slot]!;
  return start !== -1 && bytes[start] !== firstOfNull;
}

const firstOfNull = 0x6e;

/** The bytes of a member; undefined when it is absent. */
export function spanOf({ spans }: Pick<ScannedObject, 'spans'>, slot: number): Span | undefined {
  const start = spans[2 * slot]!;
  return start === -1 ? undefined : { start, end: spans[2 * slot + 1]! };
}

/** The text of a string; undefined for any other value. */
export function stringAt(bytes: Buffer, span: Span | undefined): string | undefined {
  if (span === undefined || bytes[span.start] !== quote) return undefined;
  return textOf(bytes, span.start + 1, span.end - 1);
}

/** True for a value that is an array. */
export function isArray(bytes: Buffer, { start }: Span): boolean {
  return bytes[start] === openBracket;
}
