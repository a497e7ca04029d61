// Filter for event streams (WHATWG HTML §9.2.6): the data of each event is rewritten when it is whole, all other bytes pass as they come.
import { carriageReturn, lineFeed, readLine, type StreamPosition, startOfStream } from '../../http/event-stream.ts';

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
  readonly position: StreamPosition;
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
  bytes: Buffer;
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
 * until it is complete. Throws a RangeError for more than `maxBytes`, and whatever `rewrite` throws. An event that the end of the stream cuts off
 * is looked at like any other, since some readers dispatch it.
 */
export function createEventStreamFilter(options: EventStreamOptions): EventStreamFilter {
  const stream: Stream = {
    options,
    position: startOfStream(),
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
  const { position } = stream;
  let at = 0;
  if (position.afterReturn && chunk[0] === lineFeed) {
    const last = stream.lines.at(-1);
    if (last === undefined) stream.passed.push(newline);
    else last.bytes = Buffer.concat([last.bytes, newline]);
    at = readLine(position, chunk, at);
  }
  while (at < chunk.length) {
    const start = at;
    at = readLine(position, chunk, at);
    if (position.afterReturn && chunk[at] === lineFeed) at = readLine(position, chunk, at);
    if (position.atLineStart) endLine(stream, chunk.subarray(start, at));
    else {
      stream.partial.push(chunk.subarray(start));
      count(stream, chunk.length - start);
    }
  }
}

/** Takes the rest of a line, its end included; without one only where the stream ends. */
function endLine(stream: Stream, rest: Buffer): void {
  const bytes = stream.partial.length === 0 ? rest : Buffer.concat([...stream.partial, rest]);
  stream.heldBytes -= bytes.length - rest.length;
  stream.partial = [];
  const start = stream.begun || !bytes.subarray(0, 3).equals(mark) ? 0 : 3;
  stream.begun = true;
  const isData = isField(bytes, start, field);
  const isId = !stream.options.resumable && isField(bytes, start, idField);
  const shown = isId ? Buffer.concat([bytes.subarray(0, start), comment, endingOf(bytes)]) : bytes;
  if (stream.lines.length === 0 && !isData) {
    stream.passed.push(shown);
    return;
  }
  stream.lines.push({ bytes: shown, start, isData });
  count(stream, shown.length);
  if (bytes.length - endingOf(bytes).length === start) endEvent(stream);
}

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
  others.forEach(({ bytes }, index) => {
    stream.passed.push(index === others.length - 1 ? bytes : withoutLoneCr(bytes));
  });
}

/** Once lines between them are gone, a CR that ended a line could meet the LF that ends another, and both would be one end. */
function withoutLoneCr(bytes: Buffer): Buffer {
  return bytes.at(-1) === carriageReturn ? Buffer.concat([bytes.subarray(0, -1), newline]) : bytes;
}

function dataOf({ bytes, start }: Line): Buffer {
  const value = bytes.subarray(start + field.length + 1, bytes.length - endingOf(bytes).length);
  return value[0] === space ? value.subarray(1) : value;
}

/** JSON may have line breaks between its tokens: each of its lines is a data line, in the place and with the end of the first. */
function dataLines({ bytes, start }: Line, text: Buffer): Buffer[] {
  const ending = withoutLoneCr(endingOf(bytes));
  const parts = [bytes.subarray(0, start), field, separator];
  let from = 0;
  for (let at = text.indexOf(lineFeed); at !== -1; at = text.indexOf(lineFeed, from)) {
    parts.push(text.subarray(from, at), ending.length === 0 ? newline : ending, field, separator);
    from = at + 1;
  }
  return [...parts, text.subarray(from), ending];
}

/** CR, LF or both; no line holds one of them before its end. */
function endingOf(bytes: Buffer): Buffer {
  const last = bytes.at(-1);
  const length = last === lineFeed ? (bytes.at(-2) === carriageReturn ? 2 : 1) : last === carriageReturn ? 1 : 0;
  return bytes.subarray(bytes.length - length);
}

function count(stream: Stream, bytes: number): void {
  stream.heldBytes += bytes;
  if (stream.heldBytes > stream.options.maxBytes) throw new RangeError('an event is too large');
}
