// Id of a request whose message is refused or incomplete: found at the top level of its JSON, whatever the rest is.
import { isDigit, minus, quote } from '../json/tokens.ts';

/** Finds the id in a body that comes in pieces. Holds a name and a value of the top level, up to a bound. */
export interface RequestIdScanner {
  /** Yields true once nothing that follows changes the result. */
  write(piece: Buffer): boolean;
  /**
   * The JSON text of the first id so far: a string or a whole number. Undefined where there is none yet, for a batch, and for a response, whose id is
   * that of a request of the server.
   */
  id(): string | undefined;
}

/** A longer name or value is not held. */
const maxTokenBytes = 2048;
/** A message has five at most. */
const maxMembers = 64;

const backslash = 0x5c;
const openBrace = 0x7b;
const [inside, white, open, close, comma, colon] = [0, 1, 2, 3, 4, 5];
/** Bytes by their meaning outside of strings. */
const kinds = new Uint8Array(256);
for (const [kind, bytes] of [
  [white, ' \t\n\r'],
  [open, '{['],
  [close, '}]'],
  [comma, ','],
  [colon, ':'],
] as const) {
  for (const byte of Buffer.from(bytes)) kinds[byte] = kind;
}
/** Their change of the depth. */
const nesting = Int8Array.from(kinds, (kind) => (kind === open ? 1 : kind === close ? -1 : 0));
const mark = Buffer.from('\ufeff');

interface Scan {
  depth: number;
  inString: boolean;
  escaped: boolean;
  /** Of the name or value at the top level that is being read. */
  token: number[];
  name: string | undefined;
  id: string | undefined;
  isRequest: boolean;
  members: number;
  /** No object, a response, a name or id that is none or too long, or behind the end of the object. */
  ended: boolean;
}

/** Creates a scanner for one body. */
export function createRequestIdScanner(): RequestIdScanner {
  const scan: Scan = {
    depth: 0,
    inString: false,
    escaped: false,
    token: [],
    name: undefined,
    id: undefined,
    isRequest: false,
    members: 0,
    ended: false,
  };
  const isKnown = (): boolean => scan.ended || (scan.isRequest && scan.id !== undefined);
  return {
    write(piece) {
      for (let at = 0; at < piece.length && !isKnown(); at += 1) {
        at = skip(scan, piece, at);
        if (at < piece.length) take(scan, piece[at]!);
      }
      return isKnown();
    },
    id: () => scan.id,
  };
}

/** Reads what nobody keeps: below the top level, and the rest of a long string. Yields the place behind it. */
function skip(scan: Scan, piece: Buffer, from: number): number {
  const isLong = scan.token.length > maxTokenBytes;
  let { depth, escaped, inString } = scan;
  let at = from;
  for (; at < piece.length && (depth > 1 || (isLong && inString)); at += 1) {
    const byte = piece[at]!;
    if (escaped) escaped = false;
    else if (byte === quote) inString = !inString;
    else if (inString) escaped = byte === backslash;
    else depth += nesting[byte]!;
  }
  scan.depth = depth;
  scan.escaped = escaped;
  scan.inString = inString;
  return at;
}

function take(scan: Scan, byte: number): void {
  if (scan.inString) takeInString(scan, byte);
  else if (scan.depth === 0) begin(scan, byte);
  else if (scan.token.length > maxTokenBytes) scan.ended = true;
  else if (byte === quote) {
    scan.inString = true;
    keep(scan, byte);
  } else takeOutside(scan, byte);
}

function begin(scan: Scan, byte: number): void {
  if (byte === openBrace) scan.depth = 1;
  else if (kinds[byte] !== white && !mark.includes(byte)) scan.ended = true;
}

function takeInString(scan: Scan, byte: number): void {
  keep(scan, byte);
  if (scan.escaped) scan.escaped = false;
  else if (byte === backslash) scan.escaped = true;
  else if (byte === quote) {
    scan.inString = false;
    if (scan.name === 'id') endMember(scan);
  }
}

function takeOutside(scan: Scan, byte: number): void {
  const kind = kinds[byte];
  if (kind === open) {
    keep(scan, byte);
    scan.depth += 1;
  } else if (kind === close) {
    endMember(scan);
    scan.ended = true;
  } else if (kind === comma) endMember(scan);
  else if (kind === colon) endName(scan);
  else if (kind === inside) keep(scan, byte);
  else if (scan.name === 'id' && scan.token.length > 0) endMember(scan);
}

function keep(scan: Scan, byte: number): void {
  if (scan.token.length <= maxTokenBytes) scan.token.push(byte);
}

function endName(scan: Scan): void {
  const name = parse(takeToken(scan));
  scan.name = typeof name === 'string' ? name : undefined;
  if (name === 'method') scan.isRequest = true;
  if (name === 'result' || name === 'error') scan.id = undefined;
  scan.ended = scan.name === undefined || name === 'result' || name === 'error';
}

function endMember(scan: Scan): void {
  const text = takeToken(scan);
  if (scan.name === 'id' && scan.id === undefined) {
    if (isId(text)) scan.id = text;
    else scan.ended = true;
  }
  scan.name = undefined;
  scan.members += 1;
  if (scan.members > maxMembers) scan.ended = true;
}

function takeToken(scan: Scan): string {
  const { token } = scan;
  scan.token = [];
  return token.length > maxTokenBytes ? '' : Buffer.from(token).toString();
}

/** A string with bytes that are no UTF-8 has another text than was sent. */
function isId(text: string): boolean {
  return isWholeNumber(text) || (typeof parse(text) === 'string' && !text.includes('\ufffd'));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** True for a number without a fraction (JSON-RPC 2.0 §4), however it is written and however large. */
export function isWholeNumber(text: string): boolean {
  const first = text.charCodeAt(0);
  if (first !== minus && !isDigit(first)) return false;
  return /^-?(?:0|[1-9]\d*)(?:\.0+)?$/.test(text) || (parse(text) !== undefined && Number.isSafeInteger(Number(text)));
}
