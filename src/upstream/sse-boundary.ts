// Where one server-sent event ends and the next may begin, followed over the chunks of a stream without keeping any of them.

export interface EventBoundary {
  /** Follows bytes that go to the client. */
  pass(chunk: Buffer): void;
  /** The bytes so far end between two events: something may be said in between, or the stream may end. */
  reached(): boolean;
  /** How many bytes of an event that is not complete have passed. */
  openBytes(): number;
  /** How many bytes of `chunk` belong to the event that is on its way; undefined when it does not end there. */
  within(chunk: Buffer): number | undefined;
}

const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const colon = 0x3a;

interface Position {
  /** At the start of a line. */
  atLineStart: boolean;
  /** A line of the open event has begun; comments do not open one. */
  inEvent: boolean;
  /** The last byte was a carriage return: a line feed behind it belongs to the same line end. */
  afterReturn: boolean;
  openBytes: number;
}

/** Lines end with LF, CR or both; an event ends with an empty line (HTML Standard, "Parsing an event stream"). */
export function createEventBoundary(): EventBoundary {
  let position: Position = { atLineStart: true, inEvent: false, afterReturn: false, openBytes: 0 };
  return {
    pass(chunk) {
      if (endsWithEmptyLine(chunk)) {
        position = { atLineStart: true, inEvent: false, afterReturn: false, openBytes: 0 };
        return;
      }
      for (let index = 0; index < chunk.length; index += 1) step(position, chunk[index]!);
    },
    reached: () => isBetween(position),
    openBytes: () => position.openBytes,
    within(chunk) {
      const ahead = { ...position };
      const end = chunk.findIndex((byte) => {
        step(ahead, byte);
        return isBetween(ahead);
      });
      return end === -1 ? undefined : end + 1;
    },
  };
}

function isBetween({ atLineStart, inEvent }: Position): boolean {
  return atLineStart && !inEvent;
}

/** The usual end of a chunk, which needs no look at the rest. */
function endsWithEmptyLine(chunk: Buffer): boolean {
  const last = chunk.length - 1;
  if (chunk[last] !== lineFeed) return false;
  return (
    chunk[last - 1] === lineFeed ||
    (chunk[last - 1] === carriageReturn && chunk[last - 2] === lineFeed && chunk[last - 3] === carriageReturn)
  );
}

function step(position: Position, byte: number): void {
  const { afterReturn } = position;
  position.afterReturn = byte === carriageReturn;
  if (byte === lineFeed && afterReturn) return;
  if (byte !== lineFeed && byte !== carriageReturn) {
    if (position.atLineStart && byte !== colon) position.inEvent = true;
    position.atLineStart = false;
    position.openBytes += 1;
    return;
  }
  if (position.atLineStart) position.inEvent = false;
  position.atLineStart = true;
  position.openBytes = position.inEvent ? position.openBytes + 1 : 0;
}
