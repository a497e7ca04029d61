// Writer of an upstream's answer to the client, with backpressure, comments in a silent event stream, and an early end between events.
import { abortUpstream, drainAfterDisconnect, type OpenStream, type Transfer } from '../transfer.ts';

/** A comment (WHATWG HTML §9.2.6): clients ignore it, middleboxes see traffic. */
const comment = Buffer.from(': keep-alive\n\n');

/** Writes bytes of the response. False pauses the upstream until the client has taken them. */
export function writeBody(transfer: Transfer, chunk: Buffer): boolean {
  const { response, boundary } = transfer;
  if (transfer.ending && boundary !== undefined) {
    const length = boundary.lengthToEnd(chunk);
    if (length !== undefined) return writeLast(transfer, chunk.subarray(0, length));
  }
  transfer.bytes += chunk.length;
  boundary?.read(chunk);
  if (response.write(chunk)) return true;
  waitForClient(transfer);
  return false;
}

/** Writes the last bytes of a complete response and ends it. */
export function writeEnd(transfer: Transfer, last: Buffer | undefined): void {
  transfer.bytes += last?.length ?? 0;
  transfer.ended = true;
  transfer.response.end(last);
}

/** The event stream of a transfer. One without boundaries gets no comments, and is cut instead of ended. */
export function eventStreamOf(transfer: Transfer): OpenStream {
  const { response } = transfer;
  return {
    bytes: () => transfer.bytes,
    keepAlive() {
      const quiet = !transfer.ended && !transfer.ending && !response.destroyed && !response.writableNeedDrain;
      if (quiet && transfer.boundary?.isBetweenEvents() === true) response.write(comment);
    },
    end() {
      if (transfer.ended || transfer.ending || transfer.drain !== undefined) return;
      transfer.ending = true;
      if (transfer.boundary === undefined) response.destroy();
      else if (transfer.boundary.isBetweenEvents()) endEarly(transfer);
    },
    cut: () => void response.destroy(),
  };
}

function writeLast(transfer: Transfer, chunk: Buffer): boolean {
  transfer.bytes += chunk.length;
  transfer.response.write(chunk);
  endEarly(transfer);
  return true;
}

/** Completes the response for the client; the upstream is treated as if the client had left. */
function endEarly(transfer: Transfer): void {
  transfer.endedEarly = true;
  transfer.response.end();
  clearTimeout(transfer.stallTimer);
  drainAfterDisconnect(transfer);
  if (transfer.drain !== undefined) return;
  transfer.ended = true;
  abortUpstream(transfer);
}

/** Backpressure. A client that takes nothing for `timeouts.idle` is cut off. */
function waitForClient(transfer: Transfer): void {
  const { response, upstream } = transfer;
  transfer.stallTimer = setTimeout(() => response.destroy(), upstream.timeouts.idle).unref();
  if (transfer.listensForDrain) return;
  transfer.listensForDrain = true;
  response.on('drain', () => {
    clearTimeout(transfer.stallTimer);
    if (!transfer.ended) transfer.controller?.resume();
  });
}
