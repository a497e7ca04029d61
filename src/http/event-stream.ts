// Incremental reader of event streams (WHATWG HTML §9.2.6): ends of lines and events, over any chunks.

export const lineFeed = 0x0a;
export const carriageReturn = 0x0d;
const colon = 0x3a;

/** Position in a stream. Nothing of the stream is kept. */
export interface StreamPosition {
  /** Nothing of the next line has come. */
  atLineStart: boolean;
  /** A line of the open event has begun; comments do not open one. */
  inEvent: boolean;
  /** The last byte was a carriage return: a line feed behind it belongs to the same line end. */
  afterReturn: boolean;
}

/** The position before the first byte. */
export function startOfStream(): StreamPosition {
  return { atLineStart: true, inEvent: false, afterReturn: false };
}

/** The bytes so far end between two events. */
export function isBetweenEvents({ atLineStart, inEvent }: StreamPosition): boolean {
  return atLineStart && !inEvent;
}

/**
 * Reads from an offset within the chunk to the end of the line or of the chunk, and gives the offset after it. Lines end with LF, CR or CRLF; a CR
 * ends one at once, and an LF after it is read by the next call.
 */
export function readLine(position: StreamPosition, chunk: Buffer, from: number): number {
  if (position.afterReturn) {
    position.afterReturn = false;
    if (chunk[from] === lineFeed) return from + 1;
  }
  const near = Math.min(from + nearBytes, chunk.length);
  let at = from;
  while (at < near && chunk[at] !== lineFeed && chunk[at] !== carriageReturn) at += 1;
  if (at === near && at < chunk.length) at = endOfLongLine(chunk, at);
  const isEmpty = position.atLineStart && at === from;
  if (position.atLineStart && !isEmpty && chunk[from] !== colon) position.inEvent = true;
  position.atLineStart = at < chunk.length;
  if (at === chunk.length) return at;
  if (isEmpty) position.inEvent = false;
  position.afterReturn = chunk[at] === carriageReturn;
  return at + 1;
}

/** A line is walked so far: the calls that find the end of a longer one cost as much. */
const nearBytes = 512;

/** The carriage return is searched for within the line only: behind it the chunk may have many lines. */
function endOfLongLine(chunk: Buffer, from: number): number {
  const end = chunk.indexOf(lineFeed, from);
  const line = chunk.subarray(from, end === -1 ? chunk.length : end);
  const length = line.indexOf(carriageReturn);
  return from + (length === -1 ? line.length : length);
}
