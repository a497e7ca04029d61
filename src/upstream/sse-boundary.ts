// Event boundaries of a stream on its way to the client, followed over its chunks without keeping any of them.
import { carriageReturn, isBetweenEvents, lineFeed, readLine, startOfStream } from '../http/event-stream.ts';

/** Follows the events of a stream. */
export interface EventBoundary {
  /** Follows bytes that go to the client. */
  pass(chunk: Buffer): void;
  /** The bytes so far end between two events: something may be said in between, or the stream may end. */
  reached(): boolean;
  /** The number of bytes of the incomplete event that have passed. */
  openBytes(): number;
  /** The number of bytes of `chunk` that belong to the current event; undefined when it does not end there. */
  within(chunk: Buffer): number | undefined;
}

/** Creates it at the start of a stream. */
export function createEventBoundary(): EventBoundary {
  let position = startOfStream();
  let openBytes = 0;
  return {
    pass(chunk) {
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
    reached: () => isBetweenEvents(position),
    openBytes: () => openBytes,
    within(chunk) {
      const ahead = { ...position };
      for (let at = 0; at < chunk.length; ) {
        at = readLine(ahead, chunk, at);
        if (isBetweenEvents(ahead)) return at;
      }
      return undefined;
    },
  };
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
