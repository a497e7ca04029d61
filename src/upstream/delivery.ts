// What the client is given of an answer: its bytes at the client's pace, comments while an event stream is silent, and an early end between two events.
import { readOn } from './left-behind.ts';
import type { EventStream, Passage } from './transfer.ts';

/** A comment (HTML Standard, "Parsing an event stream"): clients ignore it, middleboxes see traffic. */
const comment = Buffer.from(': keep-alive\n\n');

/** Hands on bytes of the answer. False pauses the upstream until the client has taken what it was given. */
export function deliver(passage: Passage, chunk: Buffer): boolean {
  const { response, boundary } = passage;
  if (passage.ending && boundary !== undefined) {
    const length = boundary.within(chunk);
    if (length !== undefined) return deliverLast(passage, chunk.subarray(0, length));
  }
  passage.bytes += chunk.length;
  boundary?.pass(chunk);
  if (response.write(chunk)) return true;
  waitForDrain(passage);
  return false;
}

/** The answer is whole: hands on what is left of it and ends. */
export function deliverEnd(passage: Passage, last: Buffer | undefined): void {
  passage.bytes += last?.length ?? 0;
  passage.ended = true;
  passage.response.end(last);
}

/** The stream for those who watch over it. Bytes that are encoded, or of an announced number, can neither be added to nor end early. */
export function eventStreamOf(passage: Passage): EventStream {
  const { response } = passage;
  return {
    bytes: () => passage.bytes,
    keepAlive() {
      const quiet = !passage.ended && !passage.ending && !response.destroyed && !response.writableNeedDrain;
      if (quiet && passage.boundary?.reached() === true) response.write(comment);
    },
    end() {
      if (passage.ended || passage.ending || passage.rest !== undefined) return;
      passage.ending = true;
      if (passage.boundary === undefined) response.destroy();
      else if (passage.boundary.reached()) finish(passage);
    },
    cut: () => void response.destroy(),
  };
}

function deliverLast(passage: Passage, chunk: Buffer): boolean {
  passage.bytes += chunk.length;
  passage.response.write(chunk);
  finish(passage);
  return true;
}

/** For the client the answer is whole; the upstream is treated as if the client had left now. */
function finish(passage: Passage): void {
  const { response } = passage;
  passage.endedEarly = true;
  response.end();
  clearTimeout(passage.stallTimer);
  if (passage.options.leftBehind !== undefined) {
    readOn(passage, passage.options.leftBehind);
    return;
  }
  passage.ended = true;
  passage.abort?.();
}

/** A client that takes nothing for as long as an upstream may stay silent is cut off. */
function waitForDrain(passage: Passage): void {
  const { response, upstream } = passage;
  passage.stallTimer = setTimeout(() => response.destroy(), upstream.timeouts.idle).unref();
  if (passage.listensForDrain) return;
  passage.listensForDrain = true;
  response.on('drain', () => {
    clearTimeout(passage.stallTimer);
    if (!passage.ended) passage.resume?.();
  });
}
