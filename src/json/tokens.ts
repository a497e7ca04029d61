// Tokens of JSON (RFC 8259): strings, numbers and literals. Offsets in, offsets out.
import { GatewayError } from '../errors.ts';

/** State of the tokenizer, with a flag for escapes in the last string. */
export interface StringScan {
  readonly bytes: Buffer;
  readonly loneSurrogates: boolean;
  escaped: boolean;
  /** The first quote and the first backslash that were found ahead; each is searched for again behind it, so that no byte is searched twice. */
  quoteAhead: number;
  backslashAhead: number;
  /** The bytes by four, from the first one that is aligned; made for the first long string. */
  words: Int32Array | undefined;
}

const zero = 0x30;
export const quote = 0x22;
const backslash = 0x5c;
export const minus = 0x2d;
export const openBrace = 0x7b;
export const openBracket = 0x5b;

/** Bytes that end the plain run of a string: the quote, the backslash and the controls. */
const special = new Uint8Array(256).fill(1, 0, 0x20);
special[quote] = 1;
special[backslash] = 1;

const space = new Uint8Array(256);
for (const byte of [0x20, 0x09, 0x0a, 0x0d]) space[byte] = 1;

const literals: ReadonlyMap<number, Buffer> = new Map(
  ['true', 'false', 'null'].map((text) => [text.charCodeAt(0), Buffer.from(text)]),
);

/** Scans `true`, `false` or `null`. Yields the end. */
export function scanLiteral(bytes: Buffer, start: number, first: number): number {
  const literal = literals.get(first);
  if (literal === undefined) throw invalid('syntax');
  for (let i = 1; i < literal.length; i++) if (bytes[start + i] !== literal[i]) throw invalid('syntax');
  return start + literal.length;
}

/** The text of a string that was scanned, from its bounds within the quotes. */
export function textOf(bytes: Buffer, start: number, end: number): string {
  const raw = bytes.toString('utf8', start, end);
  return raw.includes('\\') ? (JSON.parse(`"${raw}"`) as string) : raw;
}

/** `length` bytes from each start on. */
export function sameBytes(some: Buffer, start: number, others: Buffer, otherStart: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (some[start + i] !== others[otherStart + i]) return false;
  return true;
}

/** From the byte after the opening quote to the byte after the closing one. */
export function scanString(scan: StringScan, start: number): number {
  const { bytes } = scan;
  const length = bytes.length;
  let at = start;
  for (;;) {
    const near = Math.min(at + nearBytes, length);
    while (at < near && special[bytes[at]!] === 0) at++;
    if (at === near && at < length) {
      at = skipPlain(scan, at);
      while (at < length && special[bytes[at]!] === 0) at++;
    }
    if (at >= length) throw invalid('truncated');
    const byte = bytes[at];
    if (byte === quote) return at + 1;
    if (byte !== backslash) throw invalid('control');
    scan.escaped = true;
    at = scanEscape(scan, at + 1);
  }
}

/** A run is walked so far, byte by byte. */
const nearBytes = 16;
/** And so far by words: the calls that find the end of a longer one cost as much. */
const nearWords = 64;

/** Skips bytes that are plain for certain: up to the word that holds a control, a quote or a backslash. The rest is walked. */
function skipPlain(scan: StringScan, at: number): number {
  const { bytes } = scan;
  const first = -bytes.byteOffset & 3;
  scan.words ??= new Int32Array(bytes.buffer, bytes.byteOffset + first, (bytes.length - first) >> 2);
  const { words } = scan;
  let word = (at - first) >> 2;
  const near = Math.min(word + nearWords, words.length);
  while (word < near && !holdsSpecial(words[word]!)) word++;
  const reached = Math.max(at, first + 4 * word);
  return word === near && word < words.length ? skipFarPlain(scan, words, first, reached) : reached;
}

function skipFarPlain(scan: StringScan, words: Int32Array, first: number, at: number): number {
  const { bytes } = scan;
  if (scan.quoteAhead < at) scan.quoteAhead = find(bytes, quote, at);
  if (scan.backslashAhead < at) scan.backslashAhead = find(bytes, backslash, at);
  const end = (Math.min(scan.quoteAhead, scan.backslashAhead) - first) >> 2;
  let word = (at - first) >> 2;
  while (word < end && !holdsControl(words[word]!)) word++;
  return Math.max(at, first + 4 * word);
}

/** True where one of the four bytes is special. The quote, 0x22, is the one byte that becomes 0x20 when the bit of 2 is flipped; controls stay controls. */
function holdsSpecial(word: number): boolean {
  const flipped = word ^ 0x02020202;
  const unescaped = word ^ 0x5c5c5c5c;
  return ((((flipped - 0x21212121) & ~flipped) | ((unescaped - 0x01010101) & ~unescaped)) & 0x80808080) !== 0;
}

/** True where one of the four bytes is below 0x20: only then a borrow reaches a high bit that was not set. */
function holdsControl(word: number): boolean {
  return ((word - 0x20202020) & ~word & 0x80808080) !== 0;
}

/** The length where there is none. */
function find(bytes: Buffer, byte: number, from: number): number {
  const at = bytes.indexOf(byte, from);
  return at === -1 ? bytes.length : at;
}

const shortEscape = new Uint8Array(256);
for (const letter of Buffer.from('"\\/bfnrt')) shortEscape[letter] = 1;

/** From the byte after the backslash. A surrogate must be the first of a pair of escapes, unless lone ones may be. */
function scanEscape({ bytes, loneSurrogates }: StringScan, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw invalid('truncated');
  if (byte !== 0x75) {
    if (shortEscape[byte] === 0) throw invalid('escape');
    return at + 1;
  }
  const unit = hexUnit(bytes, at + 1);
  if (unit < 0xd800 || unit > 0xdfff || loneSurrogates) return at + 5;
  const paired = unit < 0xdc00 && bytes[at + 5] === backslash && bytes[at + 6] === 0x75;
  const low = paired ? hexUnit(bytes, at + 7) : 0;
  if (low < 0xdc00 || low > 0xdfff) throw invalid('surrogate');
  return at + 11;
}

function hexUnit(bytes: Buffer, at: number): number {
  let unit = 0;
  for (let i = at; i < at + 4; i++) unit = unit * 16 + hexDigit(bytes[i]);
  return unit;
}

function hexDigit(byte: number | undefined): number {
  if (byte !== undefined) {
    if (isDigit(byte)) return byte - zero;
    const letter = byte | 0x20;
    if (letter >= 0x61 && letter <= 0x66) return letter - 0x57;
  }
  throw invalid('escape');
}

/** Digits without an exponent stay finite up to this length. */
const surelyFiniteDigits = 300;

/** Scans a number. Yields the end. */
export function scanNumber(bytes: Buffer, start: number): number {
  let at = bytes[start] === minus ? start + 1 : start;
  if (bytes[at] === zero) at++;
  else at = scanDigits(bytes, at);
  if (bytes[at] === 0x2e) at = scanDigits(bytes, at + 1);
  const exponent = bytes[at] === 0x65 || bytes[at] === 0x45;
  if (exponent) {
    const sign = bytes[at + 1];
    at = scanDigits(bytes, sign === 0x2b || sign === minus ? at + 2 : at + 1);
  }
  if ((exponent || at - start > surelyFiniteDigits) && !Number.isFinite(Number(bytes.toString('latin1', start, at)))) {
    throw invalid('number_range');
  }
  return at;
}

/** At least one. */
function scanDigits(bytes: Buffer, start: number): number {
  let at = start;
  while (isDigit(bytes[at] ?? 0)) at++;
  if (at === start) throw invalid('syntax');
  return at;
}

/** True for an ASCII digit. */
export function isDigit(byte: number): boolean {
  return byte >= zero && byte <= 0x39;
}

/** Yields the first byte that is no white space. */
export function skipSpace(bytes: Buffer, start: number): number {
  let at = start;
  while (at < bytes.length && space[bytes[at]!] === 1) at++;
  return at;
}

/** The refusal of a text that is no strict JSON. */
export function invalid(reason: string): GatewayError {
  return new GatewayError(
    'invalid_json',
    'The body is not JSON as this gateway reads it: strict UTF-8 and RFC 8259, at most 64 levels and 10,000 names.',
    {
      reason,
    },
  );
}
