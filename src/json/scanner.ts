// Strict JSON scanner: validates every byte once, builds nothing, and notes the spans of the members that a shape names.
import { isUtf8 } from 'node:buffer';
import { GatewayError } from '../errors.ts';
import { memberAt, type Shape } from './shape.ts';
import {
  invalid,
  isDigit,
  minus,
  openBrace,
  openBracket,
  quote,
  type StringScan,
  sameBytes,
  scanLiteral,
  scanNumber,
  scanString,
  skipSpace,
  textOf,
} from './tokens.ts';

export const maxDepth = 64;
export const maxKeys = 10_000;

/** Limits of a text. */
export interface ScanLimits {
  readonly depth: number;
  readonly keys: number;
  /** Half of a surrogate pair, written as an escape: in a text that was cut off somewhere. */
  readonly loneSurrogates: boolean;
}

/** For what clients send. */
const messageLimits: ScanLimits = { depth: maxDepth, keys: maxKeys, loneSurrogates: false };
/** For what upstreams answer: catalogues with the schemas of all tools, whose size is bounded before they are read. */
export const responseLimits: ScanLimits = { depth: 256, keys: 1_000_000, loneSurrogates: true };

interface Scan extends StringScan {
  readonly limits: ScanLimits;
  readonly spans: number[];
  /** Bounds of the keys seen so far in the objects being read, innermost last; `top` of it are in use. */
  readonly keyBounds: number[];
  top: number;
  keys: number;
}

/**
 * Scans a whole document: UTF-8 without a byte order mark, exactly the grammar of RFC 8259, no lone surrogates, finite numbers, no name twice in
 * an object however it is written, at most 64 levels and 10,000 names (or what `limits` say). Time is linear in its length. Whatever it accepts, `JSON.parse` reads alike.
 * Yields the spans of the shape's members. Throws GatewayError `invalid_json`, or `invalid_jsonrpc` for names (reasons `duplicate_key`,
 * `member_spelling`, `unknown_member`).
 */
export function scanJson(bytes: Buffer, shape: Shape, slots: number, limits = messageLimits): readonly number[] {
  if (!isUtf8(bytes)) throw invalid('utf8');
  const scan = openScan(bytes, slots, limits);
  const end = skipSpace(bytes, scanValue(scan, skipSpace(bytes, 0), 0, shape));
  if (end !== bytes.length) throw invalid('trailing_bytes');
  return scan.spans;
}

/** An element of an array: its bounds, and the spans of the shape's members where it is an object. */
export interface Element {
  readonly start: number;
  readonly end: number;
  readonly spans: readonly number[];
}

/** The elements of the array that begins at `start`, in a document that was scanned before. Throws `invalid_jsonrpc` for misspelt names. */
export function scanElements(
  bytes: Buffer,
  start: number,
  shape: Shape,
  slots: number,
  limits = messageLimits,
): readonly Element[] {
  const elements: Element[] = [];
  let at = skipSpace(bytes, start + 1);
  while (bytes[at] !== closeBracket) {
    const scan = openScan(bytes, slots, limits);
    const end = scanValue(scan, at, 0, shape);
    elements.push({ start: at, end, spans: scan.spans });
    at = skipSpace(bytes, end);
    if (bytes[at] === comma) at = skipSpace(bytes, at + 1);
  }
  return elements;
}

/** Copied for each scan with so few slots: an array that is filled anew changes its kind of elements twice. */
const maxSlots = 32;
const absent: readonly number[] = Array.from({ length: 2 * maxSlots }, () => -1);

function openScan(bytes: Buffer, slots: number, limits: ScanLimits): Scan {
  const { loneSurrogates } = limits;
  const spans = slots <= maxSlots ? absent.slice(0, 2 * slots) : new Array<number>(2 * slots).fill(-1);
  return {
    bytes,
    spans,
    limits,
    loneSurrogates,
    keyBounds: [],
    top: 0,
    keys: 0,
    escaped: false,
    quoteAhead: -1,
    backslashAhead: -1,
    words: undefined,
  };
}

const comma = 0x2c;
const colon = 0x3a;
const closeBrace = 0x7d;
const closeBracket = 0x5d;

function scanValue(scan: Scan, start: number, depth: number, shape: Shape | undefined): number {
  const { bytes } = scan;
  const first = bytes[start];
  if (first === quote) return scanString(scan, start + 1);
  if (first === openBrace) return scanObject(scan, start, depth + 1, shape);
  if (first === openBracket) return scanArray(scan, start, depth + 1);
  if (first === undefined) throw invalid(start === 0 ? 'empty' : 'truncated');
  if (first === minus || isDigit(first)) return scanNumber(bytes, start);
  return scanLiteral(bytes, start, first);
}

function scanArray(scan: Scan, start: number, depth: number): number {
  if (depth > scan.limits.depth) throw invalid('depth');
  const { bytes } = scan;
  let at = skipSpace(bytes, start + 1);
  if (bytes[at] === closeBracket) return at + 1;
  for (;;) {
    at = skipSpace(bytes, scanValue(scan, at, depth, undefined));
    if (bytes[at] === closeBracket) return at + 1;
    if (bytes[at] !== comma) throw invalid('syntax');
    at = skipSpace(bytes, at + 1);
  }
}

function scanObject(scan: Scan, start: number, depth: number, shape: Shape | undefined): number {
  if (depth > scan.limits.depth) throw invalid('depth');
  const { bytes, spans } = scan;
  const base = scan.top;
  let names: Set<string> | undefined;
  let at = skipSpace(bytes, start + 1);
  if (bytes[at] === closeBrace) return at + 1;
  for (;;) {
    if (bytes[at] !== quote) throw invalid('syntax');
    const keyStart = at + 1;
    scan.escaped = false;
    at = scanString(scan, keyStart);
    const keyEnd = at - 1;
    if (++scan.keys > scan.limits.keys) throw invalid('keys');
    names = noteKey(scan, base, names, keyStart, keyEnd);
    const member = shape && memberAt(shape, bytes, keyStart, keyEnd);
    at = skipSpace(bytes, at);
    if (bytes[at] !== colon) throw invalid('syntax');
    const valueStart = skipSpace(bytes, at + 1);
    at = scanValue(scan, valueStart, depth, member?.shape);
    if (member !== undefined) {
      spans[2 * member.slot] = valueStart;
      spans[2 * member.slot + 1] = at;
    }
    at = skipSpace(bytes, at);
    if (bytes[at] === closeBrace) break;
    if (bytes[at] !== comma) throw invalid('syntax');
    at = skipSpace(bytes, at + 1);
  }
  scan.top = base;
  return at + 1;
}

/** So few names are compared byte by byte; more of them, or names with escapes, go into a set. */
const comparedNames = 8;

/** Notes a name of the object whose bounds begin at `base`. Throws when it was there before. */
function noteKey(
  scan: Scan,
  base: number,
  names: Set<string> | undefined,
  start: number,
  end: number,
): Set<string> | undefined {
  const { bytes, keyBounds, escaped, top } = scan;
  if (names === undefined && !escaped && top - base < 2 * comparedNames) {
    for (let i = base; i < top; i += 2) {
      const length = keyBounds[i + 1]! - keyBounds[i]!;
      if (length === end - start && sameBytes(bytes, start, bytes, keyBounds[i]!, length)) throw duplicateKey();
    }
    keyBounds[top] = start;
    keyBounds[top + 1] = end;
    scan.top = top + 2;
    return undefined;
  }
  const all = names ?? new Set<string>();
  if (names === undefined) {
    for (let i = base; i < top; i += 2) all.add(hashable(textOf(bytes, keyBounds[i]!, keyBounds[i + 1]!)));
  }
  const before = all.size;
  all.add(hashable(textOf(bytes, start, end)));
  if (all.size === before) throw duplicateKey();
  return all;
}

/** A leading letter keeps names such as "1234" from hashing as array indices, whose hash an attacker can foresee. */
function hashable(name: string): string {
  return `k${name}`;
}

function duplicateKey(): GatewayError {
  return new GatewayError('invalid_jsonrpc', 'A name occurs twice in one object.', { reason: 'duplicate_key' });
}
