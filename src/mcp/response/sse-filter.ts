// Filter for event streams (WHATWG HTML §9.2.6): the data of each event is rewritten when it is whole, all other bytes pass as they come.
import { type ByteBuffer, createByteBuffer } from '../../http/body/byte-buffer.ts';
import { carriageReturn, lineFeed } from '../../http/event-stream.ts';

/** Yields what to send instead of an event's data, empty for nothing, or undefined to leave it as it is. A throw ends the stream. */
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
  readonly partial: ByteBuffer;
  /** The lines of the event from its first data line on, ends included. */
  readonly event: ByteBuffer;
  /** Where the first field of the event begins: behind a byte order mark in the first line of the stream. */
  eventStart: number;
  begun: boolean;
  /** Bytes that may be sent to the client now. */
  readonly passed: ByteBuffer;
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
 * a CR without an LF, and outside of data control characters, line separators, what is no UTF-8, or `data` in another case or among white space. An event that the end of the stream cuts off is
 * looked at like any other, since some readers dispatch it.
 */
export function createEventStreamFilter(options: EventStreamOptions): EventStreamFilter {
  const stream: Stream = {
    options,
    partial: createByteBuffer(),
    event: createByteBuffer(),
    eventStart: 0,
    begun: false,
    passed: createByteBuffer(),
  };
  return {
    whole: false,
    write(chunk) {
      readChunk(stream, chunk);
      return take(stream);
    },
    end() {
      if (stream.partial.length() > 0) endLine(stream, stream.partial.take());
      endEvent(stream);
      return take(stream);
    },
  };
}

function take({ passed }: Stream): Buffer | undefined {
  return passed.length() === 0 ? undefined : passed.take();
}

function readChunk(stream: Stream, chunk: Buffer): void {
  const { partial } = stream;
  let from = 0;
  for (let at = chunk.indexOf(lineFeed); at !== -1; at = chunk.indexOf(lineFeed, from)) {
    const rest = chunk.subarray(from, at + 1);
    from = at + 1;
    if (partial.length() === 0) endLine(stream, rest);
    else {
      partial.append(rest);
      endLine(stream, partial.take());
    }
  }
  if (from === chunk.length) return;
  partial.append(chunk.subarray(from));
  checkHeld(stream);
}

/** Takes a line with its end, without one only where the stream ends. */
function endLine(stream: Stream, bytes: Buffer): void {
  const { event, passed } = stream;
  const start = stream.begun || !bytes.subarray(0, 3).equals(mark) ? 0 : 3;
  stream.begun = true;
  const ending = endingOf(bytes);
  const isData = isField(bytes, start, field);
  refuseOtherLines(bytes.subarray(start, bytes.length - ending.length), isData);
  const isId = !stream.options.resumable && isField(bytes, start, idField);
  const shown = isId ? Buffer.concat([bytes.subarray(0, start), comment, ending]) : bytes;
  if (event.length() === 0) {
    if (!isData) {
      passed.append(shown);
      return;
    }
    stream.eventStart = start;
  }
  event.append(shown);
  checkHeld(stream);
  if (bytes.length - ending.length === start) endEvent(stream);
}

/** Readers differ in what ends a line (Unicode TR 13), and lax ones in what is a line of data. In data JSON has no such character but within strings. */
function refuseOtherLines(line: Buffer, isData: boolean): void {
  if (line.includes(carriageReturn)) throw new Error('a line of the event stream ends with CR alone');
  if (isData) return;
  const text = utf8.decode(line);
  if (otherEnding.test(text)) {
    throw new Error('a line of the event stream has characters that some readers take for its end');
  }
  if (nearlyData.test(text)) throw new Error('a line of the event stream is one of data for some readers only');
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** In another case, or with white space around the name. */
const nearlyData = /^\s*data\s*(?::|$)/i;
const otherEnding = /(?!\t)[\p{Cc}\p{Zl}\p{Zp}\ufeff]/u;

function isField(bytes: Buffer, start: number, name: Buffer): boolean {
  const end = start + name.length;
  const next = bytes[end];
  return (
    bytes.subarray(start, end).equals(name) &&
    (next === undefined || next === colon || next === lineFeed || next === carriageReturn)
  );
}

function endEvent({ event, eventStart, options, passed }: Stream): void {
  if (event.length() === 0) return;
  const bytes = event.take();
  const rewritten = options.rewrite(dataOf(bytes, eventStart));
  if (rewritten === undefined) {
    passed.append(bytes);
    return;
  }
  passed.append(bytes.subarray(0, eventStart));
  // An event without data is not dispatched; its id still counts.
  if (rewritten.length > 0) appendData(passed, rewritten, endingOf(bytes.subarray(0, endOfLine(bytes, 0))));
  eachLine(bytes, eventStart, (line, isData) => {
    if (!isData) passed.append(line);
  });
}

function eachLine(bytes: Buffer, from: number, take: (line: Buffer, isData: boolean) => void): void {
  for (let at = from; at < bytes.length; ) {
    const line = bytes.subarray(at, endOfLine(bytes, at));
    take(line, isField(line, 0, field));
    at += line.length;
  }
}

function endOfLine(bytes: Buffer, from: number): number {
  return bytes.indexOf(lineFeed, from) + 1 || bytes.length;
}

/** The values of the data lines, with a line feed between them. */
function dataOf(bytes: Buffer, from: number): Buffer {
  const data = createByteBuffer();
  let isFirst = true;
  eachLine(bytes, from, (line, isData) => {
    if (!isData) return;
    if (!isFirst) data.append(newline);
    isFirst = false;
    const value = line.subarray(field.length + 1, line.length - endingOf(line).length);
    data.append(value[0] === space ? value.subarray(1) : value);
  });
  return data.take();
}

/** JSON may have line breaks between its tokens: each of its lines is a data line, with the end of the first one of the event. */
function appendData(passed: ByteBuffer, text: Buffer, ending: Buffer): void {
  for (let from = 0, end = 0; end !== -1; from = end + 1) {
    end = text.indexOf(lineFeed, from);
    passed.append(field);
    passed.append(separator);
    passed.append(text.subarray(from, end === -1 ? text.length : end));
    passed.append(end !== -1 && ending.length === 0 ? newline : ending);
  }
}

/** LF or CRLF; nothing where the stream ends within the line. */
function endingOf(bytes: Buffer): Buffer {
  if (bytes.at(-1) !== lineFeed) return nothing;
  return bytes.subarray(bytes.at(-2) === carriageReturn ? -2 : -1);
}

function checkHeld({ event, options, partial }: Stream): void {
  if (partial.length() + event.length() > options.maxBytes) throw new RangeError('an event is too large');
}
