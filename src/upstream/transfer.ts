// One request on its way through the gateway: what `forward` is asked, what it answers, and the record it keeps in between.
import type { ServerResponse } from 'node:http';
import type { BodyFilter } from './body-filter.ts';
import type { UpstreamFailure } from './errors.ts';
import type { ResponseHead, RewriteHeaders } from './response-headers.ts';
import type { EventBoundary } from './sse-boundary.ts';
import type { Upstream } from './upstream.ts';

export interface ForwardRequest {
  readonly method: string;
  /** Path and query exactly as judged; begins with `/`. */
  readonly path: string;
  /** From `ShapeRequestHeaders`. */
  readonly headers: string[];
  /** The bytes that were judged; null or empty for none. */
  readonly body: Buffer | null;
}

/** An event stream that is open to a client, in the hands of whoever watches over all of them. */
export interface EventStream {
  /** Of the upstream's answer, handed to the client so far: unchanged means that the upstream was silent. */
  bytes(): number;
  /** Writes a comment, unless an event is on its way or the client has not taken yet what it was given. */
  keepAlive(): void;
  /** Ends the stream behind the event that is on its way, cleanly; at once and not cleanly where its bytes cannot be read. */
  end(): void;
  /** Destroys the client's connection: for when the clean end does not come. */
  cut(): void;
}

export interface ForwardOptions {
  /** The gateway's own response headers by lower-case name; they replace the upstream's. */
  readonly extraHeaders?: Readonly<Record<string, string>> | undefined;
  readonly rewriteHeaders?: RewriteHeaders | undefined;
  /** Runs once, when the head goes to the client; `stream` is there when the answer is an event stream. */
  readonly onResponseStart?: ((status: number, stream: EventStream | undefined) => void) | undefined;
  /** Looks at the head of the answer; undefined lets the body pass as it comes. */
  readonly filter?: ((status: number, head: ResponseHead) => BodyFilter | undefined) | undefined;
  /** The event stream that answers has no end of its own, like every one that answers a GET: `responseBytes` bounds each event. */
  readonly subscription?: boolean | undefined;
  /**
   * When the client leaves, the upstream's answer is read to its end all the same, for at most `timeouts.firstByte` and `responseBytes`.
   * Meanwhile a function that gives this up stands in the set. Undefined: the upstream's request ends with the client.
   */
  readonly leftBehind?: Set<() => void> | undefined;
}

export interface ForwardResult {
  /** Of the upstream's answer; undefined when the client left before there was one. */
  readonly status: number | undefined;
  /** Of the body, handed to the client's connection. */
  readonly bytes: number;
  /** The whole answer was handed over; the client left before or was ended; the upstream broke off or stayed silent. */
  readonly outcome: 'completed' | 'aborted' | 'failed';
  /** Why it `failed` after the head; otherwise undefined. */
  readonly failure: UpstreamFailure | undefined;
  /** Milliseconds until the upstream's head; undefined without one. */
  readonly firstByteMs: number | undefined;
  /** The client is gone and the rest of the answer is still read, until this resolves. */
  readonly rest: Promise<void> | undefined;
}

/** The one mutable record of a request on its way; its two callbacks are those of the promise. */
export interface Passage {
  readonly upstream: Upstream;
  readonly request: ForwardRequest;
  readonly response: ServerResponse;
  readonly options: ForwardOptions;
  readonly startedMs: number;
  readonly resolve: (result: ForwardResult) => void;
  readonly reject: (error: unknown) => void;
  abort: ((cause?: Error) => void) | undefined;
  resume: (() => void) | undefined;
  stallTimer: NodeJS.Timeout | undefined;
  listensForDrain: boolean;
  attempts: number;
  informational: number;
  status: number | undefined;
  contentLength: number | undefined;
  filter: BodyFilter | undefined;
  /** Of a filtered answer, until its body is complete. */
  heldHead: ResponseHead | undefined;
  /** Of the body, from the upstream; what nobody gets any more included. */
  received: number;
  /** Of the body, to the client. */
  bytes: number;
  firstByteMs: number | undefined;
  failure: UpstreamFailure | undefined;
  /** Of an event stream whose bytes can be read. */
  boundary: EventBoundary | undefined;
  /** `responseBytes` bounds each event instead of the whole. */
  endless: boolean;
  /** The stream is to end behind the event that is on its way. */
  ending: boolean;
  /** The gateway ended the stream before the upstream did. */
  endedEarly: boolean;
  /** The client is gone and the upstream is read on, until `end`. */
  rest: { readonly promise: Promise<void>; end(): void } | undefined;
  /** The answer is whole, or the promise is settled: nothing that happens later counts. */
  ended: boolean;
}

export function openPassage(
  given: Pick<Passage, 'upstream' | 'request' | 'response' | 'options' | 'resolve' | 'reject'>,
): Passage {
  return {
    upstream: given.upstream,
    request: given.request,
    response: given.response,
    options: given.options,
    startedMs: performance.now(),
    resolve: given.resolve,
    reject: given.reject,
    abort: undefined,
    resume: undefined,
    stallTimer: undefined,
    listensForDrain: false,
    attempts: 0,
    informational: 0,
    status: undefined,
    contentLength: undefined,
    filter: undefined,
    heldHead: undefined,
    received: 0,
    bytes: 0,
    firstByteMs: undefined,
    failure: undefined,
    boundary: undefined,
    endless: false,
    ending: false,
    endedEarly: false,
    rest: undefined,
    ended: false,
  };
}

/** Gives the result; what happens later does not count. */
export function settle(passage: Passage): void {
  const { response, status, bytes, failure, firstByteMs, endedEarly } = passage;
  clearTimeout(passage.stallTimer);
  const whole = response.writableFinished && !endedEarly;
  passage.ended = true;
  passage.resolve({
    status,
    bytes,
    outcome: failure !== undefined ? 'failed' : whole ? 'completed' : 'aborted',
    failure,
    firstByteMs,
    rest: passage.rest?.promise,
  });
}

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

/** What becomes of the upstream's request, now that nobody waits for its answer any more. */
export function leaveBehind(passage: Passage): void {
  if (passage.rest === undefined && canBeReadOn(passage)) readOn(passage, passage.options.leftBehind!);
  settle(passage);
  if (passage.rest === undefined) passage.abort?.();
}

function canBeReadOn({ options, ended, failure }: Passage): boolean {
  return options.leftBehind !== undefined && !ended && failure === undefined;
}

/** Takes the rest of the answer and throws it away, for a bounded time. */
export function readOn(passage: Passage, leftBehind: Set<() => void>): void {
  const { promise, resolve } = Promise.withResolvers<void>();
  const giveUp = (): void => {
    rest.end();
    passage.abort?.();
  };
  const timer = setTimeout(giveUp, passage.upstream.timeouts.firstByte).unref();
  const rest = {
    promise,
    end() {
      clearTimeout(timer);
      leftBehind.delete(giveUp);
      resolve();
    },
  };
  passage.rest = rest;
  leftBehind.add(giveUp);
  passage.resume?.();
}
