// Transfer of one request to its upstream and of the response to its client: options, state, result and drain after disconnect.
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { type Dispatcher, errors } from 'undici';
import type { UpstreamFailure } from './errors.ts';
import type { BodyFilter } from './response/body-filter.ts';
import type { ResponseHead, RewriteHeaders, Targets } from './response/headers.ts';
import type { EventBoundary } from './response/sse-boundary.ts';
import type { Upstream } from './upstream.ts';

/** A request to forward. */
export interface ForwardRequest extends Targets {
  readonly method: string;
  /** From `ShapeRequestHeaders`. */
  readonly headers: string[];
  /** The judged bytes, or the streamed body of a path route, which emits `progress` for each chunk; null or empty for none. */
  readonly body: Buffer | Readable | null;
}

/** An answer without an end of its own that is open to a client: an event stream or a WebSocket. */
export interface OpenStream {
  /** Of the upstream's answer, handed to the client so far: unchanged means that the upstream was silent. */
  bytes(): number;
  /** Writes a comment where the stream has such, unless an event is incomplete or the client is slow. */
  keepAlive(): void;
  /** Ends the stream cleanly after the current event or frame; where its bytes cannot be read, cuts it at once. */
  end(reason: string): void;
  /** Destroys the client's connection. */
  cut(): void;
}

/** Options of forwarding. */
export interface ForwardOptions {
  /** The gateway's own response headers by lower-case name; they replace the upstream's. */
  readonly extraHeaders?: Readonly<Record<string, string>> | undefined;
  readonly rewriteHeaders?: RewriteHeaders | undefined;
  /** Runs once, when the head goes to the client; `stream` is defined for an event stream or a WebSocket. */
  readonly onResponseStart?: ((status: number, stream: OpenStream | undefined) => void) | undefined;
  /** Told the bytes of each piece of the upstream's body. */
  readonly onBody?: ((bytes: number) => void) | undefined;
  /** Looks at the head of the answer; undefined lets the body pass as it comes. */
  readonly filter?: ((status: number, head: ResponseHead) => BodyFilter | undefined) | undefined;
  /** An event stream in response has no end of its own, as with every GET: `responseBytes` bounds each event. */
  readonly subscription?: boolean | undefined;
  /**
   * Drain after disconnect: when the client leaves, the upstream's response is read to its end, for at most `timeouts.firstByte` and
   * `responseBytes`. Called once with the function that aborts it; gives the one to call at its end, or undefined where nothing is drained.
   * Without it the upstream's request ends with the client.
   */
  readonly drain?: ((abort: () => void) => (() => void) | undefined) | undefined;
  /** Asks the upstream for another protocol, such as `websocket`, and gets the socket where it agrees (RFC 9110 §7.8). */
  readonly upgrade?:
    | {
        readonly protocol: string;
        /** False for the headers of a 101 that agree to something else; names and values in turn. */
        agrees(rawHeaders: readonly Buffer[]): boolean;
        /** Runs once the client's response has its head. Counts bytes to the client in the transfer. */
        switched(transfer: Transfer, socket: Socket): OpenStream;
      }
    | undefined;
}

/** The outcome of forwarding. */
export interface ForwardResult {
  /** Status of the upstream's response; undefined without one. */
  readonly status: number | undefined;
  /** Bytes of the body handed to the client's connection. */
  readonly bytes: number;
  /** `completed`: the whole response was handed over. `aborted`: the client left or was ended. `failed`: the upstream broke off or stayed silent. */
  readonly outcome: 'completed' | 'aborted' | 'failed';
  /** The reason of a failure after the head; otherwise undefined. */
  readonly failure: UpstreamFailure | undefined;
  /** Milliseconds until the upstream's head; undefined without one. */
  readonly firstByteMs: number | undefined;
  /** The upstream's connection has written the whole request, and reads the memory of its body no more. */
  readonly bodyWritten: boolean;
}

/** The mutable state of one transfer. `resolve` and `reject` settle the promise of `forward`. */
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
  /** Of the upstream's response, until it is whole. Not closures over it: those keep each request until a collection of the old generation. */
  controller: Pick<Dispatcher.DispatchController, 'abort' | 'resume'> | undefined;
  stallTimer: NodeJS.Timeout | undefined;
  /** `timeouts.firstByte` of a request with a streamed body. */
  firstByteTimer: NodeJS.Timeout | undefined;
  listensForDrain: boolean;
  attempts: number;
  informational: number;
  status: number | undefined;
  contentLength: number | undefined;
  filter: BodyFilter | undefined;
  /** Head of a response whose filter needs the whole body; not sent yet. */
  heldHead: ResponseHead | undefined;
  /** Bytes of the body from the upstream, drained ones included. */
  received: number;
  /** Bytes of the body to the client. */
  bytes: number;
  firstByteMs: number | undefined;
  bodyWritten: boolean;
  failure: UpstreamFailure | undefined;
  /** Events of a stream that is neither encoded nor of an announced length. */
  boundary: EventBoundary | undefined;
  /** `responseBytes` bounds each event instead of the whole. */
  endless: boolean;
  /** The stream ends after the current event. */
  ending: boolean;
  /** The gateway ended the stream before the upstream did. */
  endedEarly: boolean;
  /** The drain after disconnect, until `end`. */
  drain: { end(): void } | undefined;
  /** The response is complete, or the promise is settled: later events have no effect. */
  ended: boolean;
}

type TransferInput = Pick<Transfer, 'upstream' | 'request' | 'response' | 'options' | 'send'>;

const ignore = (): void => {};

/** Starts a transfer; contract of `forward`. */
export function startTransfer(input: TransferInput): Promise<ForwardResult> {
  return new Promise((resolve, reject) => {
    const transfer = openTransfer(input, resolve, reject);
    const { response } = input;
    response.on('error', ignore);
    if (response.closed || response.destroyed) {
      settle(transfer);
      return;
    }
    response.on('close', () => onDisconnect(transfer));
    input.send(transfer);
  });
}

function openTransfer(input: TransferInput, resolve: Transfer['resolve'], reject: Transfer['reject']): Transfer {
  return {
    upstream: input.upstream,
    request: input.request,
    response: input.response,
    options: input.options,
    send: input.send,
    startedMs: performance.now(),
    resolve,
    reject,
    controller: undefined,
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
    bodyWritten: false,
    failure: undefined,
    boundary: undefined,
    endless: false,
    ending: false,
    endedEarly: false,
    drain: undefined,
    ended: false,
  };
}

/** Ends the request of the upstream, where its response is not whole yet. */
export function abortUpstream({ controller }: Transfer): void {
  controller?.abort(new errors.RequestAbortedError());
}

/** Resolves with the result. Later events have no effect. */
function settle(transfer: Transfer): void {
  const { response, status, bytes, failure, firstByteMs, bodyWritten, endedEarly } = transfer;
  clearTimeout(transfer.stallTimer);
  clearTimeout(transfer.firstByteTimer);
  const completed = response.writableFinished && !endedEarly;
  transfer.ended = true;
  transfer.resolve({
    status,
    bytes,
    outcome: failure !== undefined ? 'failed' : completed ? 'completed' : 'aborted',
    failure,
    firstByteMs,
    bodyWritten,
  });
}

/** The client's side has closed: the upstream's request is aborted, or its response drained. */
function onDisconnect(transfer: Transfer): void {
  if (transfer.drain === undefined && !transfer.ended && transfer.failure === undefined) drainAfterDisconnect(transfer);
  settle(transfer);
  if (transfer.drain === undefined) abortUpstream(transfer);
}

/** Reads the rest of the response and discards it, for at most `timeouts.firstByte`, where `options.drain` has it. */
export function drainAfterDisconnect(transfer: Transfer): void {
  const abort = (): void => {
    transfer.drain?.end();
    abortUpstream(transfer);
  };
  const release = transfer.options.drain?.(abort);
  if (release === undefined) return;
  const timer = setTimeout(abort, transfer.upstream.timeouts.firstByte).unref();
  transfer.drain = {
    end() {
      clearTimeout(timer);
      release();
    },
  };
  transfer.controller?.resume();
}
