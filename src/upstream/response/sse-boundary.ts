// Event boundaries of an event stream (WHATWG HTML §9.2.6), found chunk by chunk without keeping bytes.
import { carriageReturn, isBetweenEvents, lineFeed, readLine, startOfStream } from '../../http/event-stream.ts';

/** Follows the events of a stream. */
export interface EventBoundary {
  /** Reads bytes that go to the client. */
  read(chunk: Buffer): void;
  /** The bytes so far end between two events: a comment may be written, or the stream may end. */
  isBetweenEvents(): boolean;
  /** The number of bytes of the incomplete event that have passed. */
  openBytes(): number;
  /** The number of bytes of `chunk` that belong to the current event; undefined when it does not end there. */
  lengthToEnd(chunk: Buffer): number | undefined;
}

/** Creates it at the start of a stream. */
export function createEventBoundary(): EventBoundary {
  let position = startOfStream();
  let openBytes = 0;
  return {
    read(chunk) {
      if (endsWithEmptyLine(chunk)) {
        position = startOfStream();
        openBytes = 0;
        return;
      }
      for (let at = 0; at < chunk.length; ) {
        const end = readLine(position, chunk, at);
        openBytes = isBetweenEvents(position) ? 0 : openBytes + end - at;
        at = end;
      }
    },
    isBetweenEvents: () => isBetweenEvents(position),
    openBytes: () => openBytes,
    lengthToEnd(chunk) {
      const ahead = { ...position };
      for (let at = 0; at < chunk.length; ) {
        at = readLine(ahead, chunk, at);
        if (isBetweenEvents(ahead)) return at;
      }
      return undefined;
    },
  };
}

/** The usual end of a chunk: then the rest need not be read. */
function endsWithEmptyLine(chunk: Buffer): boolean {
  const last = chunk.length - 1;
  if (chunk[last] !== lineFeed) return false;
  return (
    chunk[last - 1] === lineFeed ||
    (chunk[last - 1] === carriageReturn && chunk[last - 2] === lineFeed && chunk[last - 3] === carriageReturn)
  );
}
