// Sends the judged request and streams the answer back as it comes: no buffering, no redirects followed, no clean end to a cut answer.
import type { ServerResponse } from 'node:http';
import type { Dispatcher } from 'undici';
import { type BodyFilter, filteredHeaders } from './body-filter.ts';
import type { Connection } from './connections.ts';
import { type UpstreamFailure, upstreamError, upstreamFailure } from './failure.ts';
import { type ResponseHead, type RewriteHeaders, relayResponseHeaders } from './response-headers.ts';
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

export interface ForwardOptions {
  /** The gateway's own response headers by lower-case name; they replace the upstream's. */
  readonly extraHeaders?: Readonly<Record<string, string>> | undefined;
  readonly rewriteHeaders?: RewriteHeaders | undefined;
  /** Runs once, before the head goes to the client. */
  readonly onResponseStart?: ((status: number, eventStream: boolean) => void) | undefined;
  /** Looks at the head of the answer; undefined lets the body pass as it comes. */
  readonly filter?: ((status: number, head: ResponseHead) => BodyFilter | undefined) | undefined;
}

export interface ForwardResult {
  /** Of the upstream's answer; undefined when the client left before there was one. */
  readonly status: number | undefined;
  /** Of the body, handed to the client's connection. */
  readonly bytes: number;
  /** The whole answer was handed over; the client left before; the upstream broke off or stayed silent. */
  readonly outcome: 'completed' | 'aborted' | 'failed';
  /** Why it `failed` after the head; otherwise undefined. */
  readonly failure: UpstreamFailure | undefined;
  /** Milliseconds until the upstream's head; undefined without one. */
  readonly firstByteMs: number | undefined;
}

/** The one mutable record of a request on its way; its two callbacks are those of the promise. */
interface Passage {
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
  bytes: number;
  firstByteMs: number | undefined;
  failure: UpstreamFailure | undefined;
  /** The answer is whole, or the promise is settled: nothing that happens later counts. */
  ended: boolean;
}

const maxInformational = 16;
const ignore = (): void => {};

/**
 * Forwards one request. Resolves when the client's side has closed, whatever the outcome; rejects with a GatewayError when nothing was
 * sent to the client, so that the caller can still answer: `bad_upstream`, `upstream_timeout`, or `overloaded` without descriptors.
 * A client that leaves ends the upstream's request at once. An upstream that breaks off mid-body costs the client its connection.
 * Requests with a body and methods but GET and HEAD are sent once; those two again, once, when the connection was closed before any answer.
 */
export function forward(
  upstream: Upstream,
  request: ForwardRequest,
  response: ServerResponse,
  options: ForwardOptions = {},
): Promise<ForwardResult> {
  return new Promise((resolve, reject) => {
    const passage: Passage = {
      upstream,
      request,
      response,
      options,
      startedMs: performance.now(),
      resolve,
      reject,
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
      bytes: 0,
      firstByteMs: undefined,
      failure: undefined,
      ended: false,
    };
    response.on('error', ignore);
    if (response.closed || response.destroyed) {
      settle(passage);
      return;
    }
    response.on('close', () => {
      settle(passage);
      passage.abort?.();
    });
    send(passage);
  });
}

function send(passage: Passage): void {
  const { upstream, request } = passage;
  passage.attempts += 1;
  const connection = upstream.connections.take();
  connection.dispatch(
    {
      path: upstream.basePath + request.path,
      method: request.method as Dispatcher.HttpMethod,
      headers: request.headers,
      body: request.body,
    },
    createHandler(passage, connection),
  );
}

/** undici's raw handler interface: it hands over headers as bytes and costs no controller and no header object per request. */
function createHandler(passage: Passage, connection: Connection): Dispatcher.DispatchHandler {
  return {
    onConnect(abort) {
      passage.abort = abort;
      if (passage.ended) abort();
    },
    onHeaders(status, rawHeaders, resume) {
      if (status < 200 && status !== 101 && status >= 100) return onInformational(passage);
      passage.resume = resume;
      return onHead(passage, status, rawHeaders);
    },
    onData: (chunk) => onBody(passage, chunk),
    onComplete() {
      passage.upstream.connections.give(connection);
      if (passage.ended) return;
      if (passage.filter === undefined) finish(passage, undefined);
      else onFilteredEnd(passage, passage.filter);
    },
    onError(cause) {
      passage.upstream.connections.give(connection);
      onFailure(passage, upstreamFailure(cause), cause);
    },
  };
}

/** Interim answers are not relayed. Their number and, once they come, the time they take are bounded. */
function onInformational(passage: Passage): boolean {
  passage.informational += 1;
  if (passage.informational > maxInformational) refuse(passage, 'informational');
  else if (performance.now() - passage.startedMs > passage.upstream.timeouts.firstByte) {
    refuse(passage, 'first_byte_timeout');
  }
  return true;
}

function onHead(passage: Passage, status: number, rawHeaders: readonly Buffer[]): boolean {
  const { response, options } = passage;
  if (response.destroyed) return false;
  passage.firstByteMs = performance.now() - passage.startedMs;
  if (status < 200 || status > 599) return refuse(passage, 'status');
  // The gateway's own credential was not good enough: the client can do nothing about that.
  if (status === 401 || status === 407) return refuse(passage, 'credential');
  passage.status = status;
  let head: ResponseHead;
  try {
    head = relayResponseHeaders(rawHeaders, status, options.extraHeaders, options.rewriteHeaders);
  } catch (cause) {
    return refuse(passage, 'protocol', cause);
  }
  passage.filter = options.filter?.(status, head);
  if (passage.filter === undefined) {
    passage.contentLength = head.contentLength;
    return sendHead(passage, status, head.headers, head.eventStream);
  }
  if (!passage.filter.whole)
    return sendHead(passage, status, filteredHeaders(head.headers, undefined), head.eventStream);
  passage.heldHead = head;
  return true;
}

function sendHead(passage: Passage, status: number, headers: string[], eventStream: boolean): boolean {
  const { response, options } = passage;
  try {
    response.writeHead(status, headers);
  } catch (cause) {
    return refuse(passage, 'protocol', cause);
  }
  options.onResponseStart?.(status, eventStream);
  if (eventStream) response.flushHeaders();
  return true;
}

/** False pauses the upstream until the client has taken what it was given. */
function onBody(passage: Passage, chunk: Buffer): boolean {
  const { response, filter } = passage;
  if (response.destroyed) return false;
  if (filter !== undefined) return onFilteredBody(passage, filter, chunk);
  if (passage.bytes + chunk.length === passage.contentLength) {
    finish(passage, chunk);
    return true;
  }
  return deliver(passage, chunk);
}

function onFilteredBody(passage: Passage, filter: BodyFilter, chunk: Buffer): boolean {
  let passed: Buffer | undefined;
  try {
    passed = filter.write(chunk);
  } catch (cause) {
    return refuse(passage, 'unreadable', cause);
  }
  return passed === undefined || deliver(passage, passed);
}

function onFilteredEnd(passage: Passage, filter: BodyFilter): void {
  const { heldHead, status } = passage;
  let last: Buffer | undefined;
  try {
    last = filter.end();
  } catch (cause) {
    onFailure(passage, 'unreadable', cause);
    return;
  }
  if (heldHead !== undefined) {
    const headers = filteredHeaders(heldHead.headers, last?.length ?? 0);
    if (!sendHead(passage, status!, headers, heldHead.eventStream)) return;
  }
  finish(passage, last);
}

function deliver(passage: Passage, chunk: Buffer): boolean {
  passage.bytes += chunk.length;
  if (passage.response.write(chunk)) return true;
  waitForDrain(passage);
  return false;
}

function finish(passage: Passage, last: Buffer | undefined): void {
  passage.bytes += last?.length ?? 0;
  passage.ended = true;
  passage.response.end(last);
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

function refuse(passage: Passage, reason: UpstreamFailure, cause?: unknown): boolean {
  onFailure(passage, reason, cause);
  passage.abort?.();
  return false;
}

function onFailure(passage: Passage, failure: UpstreamFailure, cause: unknown): void {
  if (passage.ended) return;
  if (mayRepeat(passage, failure)) {
    send(passage);
    return;
  }
  if (passage.response.headersSent || passage.response.destroyed) {
    passage.failure ??= failure;
    passage.response.destroy();
    return;
  }
  passage.ended = true;
  passage.reject(upstreamError(failure, cause));
}

/** RFC 9110 §9.2.2: only what is idempotent, and only before a byte of an answer. A kept-alive connection may close under a request. */
function mayRepeat({ attempts, request, informational, firstByteMs }: Passage, failure: UpstreamFailure): boolean {
  const { method, body } = request;
  return (
    failure === 'reset' &&
    attempts === 1 &&
    (method === 'GET' || method === 'HEAD') &&
    (body === null || body.length === 0) &&
    informational === 0 &&
    firstByteMs === undefined
  );
}

function settle(passage: Passage): void {
  const { response, status, bytes, failure, firstByteMs } = passage;
  clearTimeout(passage.stallTimer);
  const outcome = failure !== undefined ? 'failed' : response.writableFinished ? 'completed' : 'aborted';
  passage.ended = true;
  passage.resolve({ status, bytes, outcome, failure, firstByteMs });
}
