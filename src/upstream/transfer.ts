// Transfer of one request to its upstream and of the answer to its client: its options, its result, and its state in between.
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { BodyFilter } from './body-filter.ts';
import type { UpstreamFailure } from './errors.ts';
import type { ResponseHead, RewriteHeaders } from './response-headers.ts';
import type { EventBoundary } from './sse-boundary.ts';
import type { Upstream } from './upstream.ts';

/** A request to forward. */
export interface ForwardRequest {
  readonly method: string;
  /** Path and query exactly as judged; begins with `/`. */
  readonly path: string;
  /** From `ShapeRequestHeaders`. */
  readonly headers: string[];
  /** The bytes that were judged, or a stream of bytes that nobody judges, which emits `progress` for each chunk; null or empty for none. */
  readonly body: Buffer | Readable | null;
}

/** An answer without an end of its own that is open to a client: an event stream or a WebSocket. */
export interface OpenStream {
  /** Of the upstream's answer, handed to the client so far: unchanged means that the upstream was silent. */
  bytes(): number;
  /** Writes a comment where the form of the stream has comments, unless an event is on its way or the client is slow. */
  keepAlive(): void;
  /** Ends the stream behind the event or frame that is on its way, cleanly; at once and not cleanly where its bytes cannot be read. */
  end(reason: string): void;
  /** Destroys the client's connection: for when the clean end does not come. */
  cut(): void;
}

/** Options of forwarding. */
export interface ForwardOptions {
  /** The gateway's own response headers by lower-case name; they replace the upstream's. */
  readonly extraHeaders?: Readonly<Record<string, string>> | undefined;
  readonly rewriteHeaders?: RewriteHeaders | undefined;
  /** Runs once, when the head goes to the client; `stream` is there when the answer is an event stream. */
  readonly onResponseStart?: ((status: number, stream: OpenStream | undefined) => void) | undefined;
  /** Looks at the head of the answer; undefined lets the body pass as it comes. */
  readonly filter?: ((status: number, head: ResponseHead) => BodyFilter | undefined) | undefined;
  /** The event stream that answers has no end of its own, like every one that answers a GET: `responseBytes` bounds each event. */
  readonly subscription?: boolean | undefined;
  /**
   * When the client leaves, the upstream's answer is read to its end all the same, for at most `timeouts.firstByte` and `responseBytes`.
   * Meanwhile a function that gives this up stands in the set. Undefined: the upstream's request ends with the client.
   */
  readonly draining?: Set<() => void> | undefined;
  /** Asks the upstream for another protocol, such as `websocket`, and gets the socket where it agrees (RFC 9110 §7.8). */
  readonly upgrade?:
    | {
        readonly protocol: string;
        /** The client's response has its head by then. Bytes handed to the client are counted in the transfer. */
        switched(transfer: Transfer, socket: Socket): OpenStream;
      }
    | undefined;
}

/** The outcome of forwarding. */
export interface ForwardResult {
  /** Of the upstream's answer; undefined when the client left before there was one. */
  readonly status: number | undefined;
  /** Of the body, handed to the client's connection. */
  readonly bytes: number;
  /** The whole answer was handed over; the client left before or was ended; the upstream broke off or stayed silent. */
  readonly outcome: 'completed' | 'aborted' | 'failed';
  /** The reason of a failure after the head; otherwise undefined. */
  readonly failure: UpstreamFailure | undefined;
  /** Milliseconds until the upstream's head; undefined without one. */
  readonly firstByteMs: number | undefined;
  /** The client is gone and the rest of the answer is still read, until this resolves. */
  readonly rest: Promise<void> | undefined;
}

/** The one mutable record of a request on its way; its two callbacks are those of the promise. */
export interface Transfer {
  readonly upstream: Upstream;
  readonly request: ForwardRequest;
  readonly response: ServerResponse;
  readonly options: ForwardOptions;
  /** Sends the request, once more where it may be repeated. */
  readonly send: (transfer: Transfer) => void;
  readonly startedMs: number;
  readonly resolve: (result: ForwardResult) => void;
  readonly reject: (error: unknown) => void;
  abort: (() => void) | undefined;
  resume: (() => void) | undefined;
  stallTimer: NodeJS.Timeout | undefined;
  /** Of a request with a streamed body. */
  firstByteTimer: NodeJS.Timeout | undefined;
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

type Given = Pick<Transfer, 'upstream' | 'request' | 'response' | 'options' | 'send'>;

const ignore = (): void => {};

/** Starts a transfer; contract of `forward`. */
export function startTransfer(given: Given): Promise<ForwardResult> {
  return new Promise((resolve, reject) => {
    const transfer = openTransfer(given, resolve, reject);
    const { response } = given;
    response.on('error', ignore);
    if (response.closed || response.destroyed) {
      settle(transfer);
      return;
    }
    response.on('close', () => onDisconnect(transfer));
    given.send(transfer);
  });
}

function openTransfer(given: Given, resolve: Transfer['resolve'], reject: Transfer['reject']): Transfer {
  return {
    upstream: given.upstream,
    request: given.request,
    response: given.response,
    options: given.options,
    send: given.send,
    startedMs: performance.now(),
    resolve,
    reject,
    abort: undefined,
    resume: undefined,
    stallTimer: undefined,
    firstByteTimer: undefined,
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
function settle(transfer: Transfer): void {
  const { response, status, bytes, failure, firstByteMs, endedEarly } = transfer;
  clearTimeout(transfer.stallTimer);
  clearTimeout(transfer.firstByteTimer);
  const whole = response.writableFinished && !endedEarly;
  transfer.ended = true;
  transfer.resolve({
    status,
    bytes,
    outcome: failure !== undefined ? 'failed' : whole ? 'completed' : 'aborted',
    failure,
    firstByteMs,
    rest: transfer.rest?.promise,
  });
}

/** Nobody waits for the answer any more: the upstream's request ends, or is drained. */
function onDisconnect(transfer: Transfer): void {
  const { options, ended, failure } = transfer;
  const drainable = options.draining !== undefined && !ended && failure === undefined;
  if (transfer.rest === undefined && drainable) drainAfterDisconnect(transfer, options.draining);
  settle(transfer);
  if (transfer.rest === undefined) transfer.abort?.();
}

/** Takes the rest of the answer and throws it away, for a bounded time. */
export function drainAfterDisconnect(transfer: Transfer, draining: Set<() => void>): void {
  const { promise, resolve } = Promise.withResolvers<void>();
  const giveUp = (): void => {
    rest.end();
    transfer.abort?.();
  };
  const timer = setTimeout(giveUp, transfer.upstream.timeouts.firstByte).unref();
  const rest = {
    promise,
    end() {
      clearTimeout(timer);
      draining.delete(giveUp);
      resolve();
    },
  };
  transfer.rest = rest;
  draining.add(giveUp);
  transfer.resume?.();
}
