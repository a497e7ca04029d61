// Writer of an upstream's answer to the client, with backpressure, comments in a silent event stream, and an early end between events.
import { drainAfterDisconnect, type OpenStream, type Transfer } from './transfer.ts';

/** A comment (HTML Standard, "Parsing an event stream"): clients ignore it, middleboxes see traffic. */
const comment = Buffer.from(': keep-alive\n\n');

/** Hands on bytes of the answer. False pauses the upstream until the client has taken what it was given. */
export function writeBody(transfer: Transfer, chunk: Buffer): boolean {
  const { response, boundary } = transfer;
  if (transfer.ending && boundary !== undefined) {
    const length = boundary.within(chunk);
    if (length !== undefined) return writeLast(transfer, chunk.subarray(0, length));
  }
  transfer.bytes += chunk.length;
  boundary?.pass(chunk);
  if (response.write(chunk)) return true;
  waitForClient(transfer);
  return false;
}

/** The answer is whole: hands on what is left of it and ends. */
export function writeEnd(transfer: Transfer, last: Buffer | undefined): void {
  transfer.bytes += last?.length ?? 0;
  transfer.ended = true;
  transfer.response.end(last);
}

/** The event stream that a transfer writes. Bytes that are encoded, or of an announced number, can neither be added to nor end early. */
export function eventStreamOf(transfer: Transfer): OpenStream {
  const { response } = transfer;
  return {
    bytes: () => transfer.bytes,
    keepAlive() {
      const quiet = !transfer.ended && !transfer.ending && !response.destroyed && !response.writableNeedDrain;
      if (quiet && transfer.boundary?.reached() === true) response.write(comment);
    },
    end() {
      if (transfer.ended || transfer.ending || transfer.rest !== undefined) return;
      transfer.ending = true;
      if (transfer.boundary === undefined) response.destroy();
      else if (transfer.boundary.reached()) endEarly(transfer);
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

/** For the client the answer is whole; the upstream is treated as if the client had left now. */
function endEarly(transfer: Transfer): void {
  const { options, response } = transfer;
  transfer.endedEarly = true;
  response.end();
  clearTimeout(transfer.stallTimer);
  if (options.draining !== undefined) {
    drainAfterDisconnect(transfer, options.draining);
    return;
  }
  transfer.ended = true;
  transfer.abort?.();
}

/** A client that takes nothing for as long as an upstream may stay silent is cut off. */
function waitForClient(transfer: Transfer): void {
  const { response, upstream } = transfer;
  transfer.stallTimer = setTimeout(() => response.destroy(), upstream.timeouts.idle).unref();
  if (transfer.listensForDrain) return;
  transfer.listensForDrain = true;
  response.on('drain', () => {
    clearTimeout(transfer.stallTimer);
    if (!transfer.ended) transfer.resume?.();
  });
}
