// Filter for event streams (WHATWG HTML §9.2.6): the data of each event is rewritten when it is whole, all other bytes pass as they come.
import { carriageReturn, lineFeed } from '../../http/event-stream.ts';

/** Yields what to send instead of an event's data, or undefined to leave it as it is. A throw ends the stream. */
export type RewriteText = (text: Buffer) => Buffer | undefined;

/** A filter that takes and yields the bytes of a stream. */
export interface EventStreamFilter {
  readonly whole: false;
  /** Yields the bytes that can be sent now. */
  write(chunk: Buffer): Buffer | undefined;
  end(): Buffer | undefined;
}

interface Stream {
  readonly options: EventStreamOptions;
  /** Of the line that is being read, as it came. */
  partial: Buffer[];
  /** The lines of the event from its first data line on, ends included. */
  lines: Line[];
  heldBytes: number;
  begun: boolean;
  /** Bytes that may be sent to the client now. */
  passed: Buffer[];
}

interface Line {
  readonly bytes: Buffer;
  /** Where the field's name begins: behind a byte order mark in the first line. */
  readonly start: number;
  readonly isData: boolean;
}

const colon = 0x3a;
const space = 0x20;
const mark = Buffer.from([0xef, 0xbb, 0xbf]);
const field = Buffer.from('data');
const idField = Buffer.from('id');
const newline = Buffer.from('\n');
const separator = Buffer.from(': ');
const comment = Buffer.from(':');
const nothing = Buffer.alloc(0);

/** Options of the filter of a stream. */
export interface EventStreamOptions {
  readonly rewrite: RewriteText;
  /** Of what is held back: one event, or a line of it. */
  readonly maxBytes: number;
  /** False makes comments of event ids, so that the stream cannot be taken up by a request whose answer nobody reads. */
  readonly resumable: boolean;
}

/**
 * A filter for a stream that arrives in pieces of any size. Lines before an event's first data line pass at once; from there on the event is held
 * until it is complete. Throws a RangeError for more than `maxBytes`, whatever `rewrite` throws, and an Error where some reader could see other lines:
 * a CR without an LF, and outside of data control characters, line separators or what is no UTF-8. An event that the end of the stream cuts off is
 * looked at like any other, since some readers dispatch it.
 */
export function createEventStreamFilter(options: EventStreamOptions): EventStreamFilter {
  const stream: Stream = {
    options,
    partial: [],
    lines: [],
    heldBytes: 0,
    begun: false,
    passed: [],
  };
  return {
    whole: false,
    write(chunk) {
      readChunk(stream, chunk);
      return take(stream);
    },
    end() {
      if (stream.partial.length > 0) endLine(stream, nothing);
      endEvent(stream);
      return take(stream);
    },
  };
}

function take(stream: Stream): Buffer | undefined {
  const { passed } = stream;
  if (passed.length === 0) return undefined;
  stream.passed = [];
  return passed.length === 1 ? passed[0] : Buffer.concat(passed);
}

function readChunk(stream: Stream, chunk: Buffer): void {
  let from = 0;
  for (let at = chunk.indexOf(lineFeed); at !== -1; at = chunk.indexOf(lineFeed, from)) {
    endLine(stream, chunk.subarray(from, at + 1));
    from = at + 1;
  }
  if (from === chunk.length) return;
  stream.partial.push(chunk.subarray(from));
  count(stream, chunk.length - from);
}

/** Takes the rest of a line, its end included; without one only where the stream ends. */
function endLine(stream: Stream, rest: Buffer): void {
  const bytes = stream.partial.length === 0 ? rest : Buffer.concat([...stream.partial, rest]);
  stream.heldBytes -= bytes.length - rest.length;
  stream.partial = [];
  const start = stream.begun || !bytes.subarray(0, 3).equals(mark) ? 0 : 3;
  stream.begun = true;
  const ending = endingOf(bytes);
  const isData = isField(bytes, start, field);
  refuseOtherEndings(bytes.subarray(start, bytes.length - ending.length), isData);
  const isId = !stream.options.resumable && isField(bytes, start, idField);
  const shown = isId ? Buffer.concat([bytes.subarray(0, start), comment, ending]) : bytes;
  if (stream.lines.length === 0 && !isData) {
    stream.passed.push(shown);
    return;
  }
  stream.lines.push({ bytes: shown, start, isData });
  count(stream, shown.length);
  if (bytes.length - ending.length === start) endEvent(stream);
}

/** Readers differ in what ends a line (Unicode TR 13). In data JSON has no such character but within strings. */
function refuseOtherEndings(line: Buffer, isData: boolean): void {
  if (line.includes(carriageReturn)) throw new Error('a line of the event stream ends with CR alone');
  if (!isData && otherEnding.test(utf8.decode(line))) {
    throw new Error('a line of the event stream has characters that some readers take for its end');
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const otherEnding = /(?!\t)[\p{Cc}\p{Zl}\p{Zp}\ufeff]/u;

function isField(bytes: Buffer, start: number, name: Buffer): boolean {
  const end = start + name.length;
  const next = bytes[end];
  return (
    bytes.subarray(start, end).equals(name) &&
    (next === undefined || next === colon || next === lineFeed || next === carriageReturn)
  );
}

function endEvent(stream: Stream): void {
  const { lines } = stream;
  if (lines.length === 0) return;
  stream.lines = [];
  stream.heldBytes = 0;
  const values = lines.filter(({ isData }) => isData).flatMap((line) => [newline, dataOf(line)]);
  const rewritten = stream.options.rewrite(Buffer.concat(values.slice(1)));
  if (rewritten === undefined) {
    stream.passed.push(...lines.map(({ bytes }) => bytes));
    return;
  }
  const others = lines.filter(({ isData }) => !isData);
  stream.passed.push(...dataLines(lines[0]!, rewritten));
  stream.passed.push(...others.map(({ bytes }) => bytes));
}

function dataOf({ bytes, start }: Line): Buffer {
  const value = bytes.subarray(start + field.length + 1, bytes.length - endingOf(bytes).length);
  return value[0] === space ? value.subarray(1) : value;
}

/** JSON may have line breaks between its tokens: each of its lines is a data line, in the place and with the end of the first. */
function dataLines({ bytes, start }: Line, text: Buffer): Buffer[] {
  const ending = endingOf(bytes);
  const parts = [bytes.subarray(0, start), field, separator];
  let from = 0;
  for (let at = text.indexOf(lineFeed); at !== -1; at = text.indexOf(lineFeed, from)) {
    parts.push(text.subarray(from, at), ending.length === 0 ? newline : ending, field, separator);
    from = at + 1;
  }
  return [...parts, text.subarray(from), ending];
}

/** LF or CRLF; nothing where the stream ends within the line. */
function endingOf(bytes: Buffer): Buffer {
  if (bytes.at(-1) !== lineFeed) return nothing;
  return bytes.subarray(bytes.at(-2) === carriageReturn ? -2 : -1);
}

function count(stream: Stream, bytes: number): void {
  stream.heldBytes += bytes;
  if (stream.heldBytes > stream.options.maxBytes) throw new RangeError('an event is too large');
}
