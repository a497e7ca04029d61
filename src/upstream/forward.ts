// Sends the judged request and streams the answer back as it comes: no buffering, no redirects followed, no clean end to a cut answer.
import type { ServerResponse } from 'node:http';
import type { Dispatcher } from 'undici';
import { type BodyFilter, filteredHeaders } from './body-filter.ts';
import type { Connection } from './connection-pool.ts';
import { credentialRefused, type UpstreamFailure, upstreamError, upstreamFailure } from './errors.ts';
import { type ResponseHead, relayResponseHeaders } from './response-headers.ts';
import { createEventBoundary } from './sse-boundary.ts';
import {
  deliver,
  deliverEnd,
  eventStreamOf,
  type ForwardOptions,
  type ForwardRequest,
  type ForwardResult,
  leaveBehind,
  openPassage,
  type Passage,
  settle,
} from './transfer.ts';
import type { Upstream } from './upstream.ts';

export type { EventStream, ForwardOptions, ForwardRequest, ForwardResult } from './transfer.ts';

const maxInformational = 16;
const ignore = (): void => {};

/**
 * Forwards one request. Resolves when the client's side has closed, whatever the outcome;
 * rejects with a GatewayError when nothing was sent to the client, so that the caller can still answer: `bad_upstream`,
 * `upstream_timeout`, or `overloaded` without descriptors. A client that leaves ends the upstream's request at once, unless
 * `options.leftBehind` says otherwise. An upstream that breaks off mid-body costs the client its connection.
 * Requests with a body and methods but GET and HEAD are sent once; those two again, once, when the connection was closed before any answer.
 */
export function forward(
  upstream: Upstream,
  request: ForwardRequest,
  response: ServerResponse,
  options: ForwardOptions = {},
): Promise<ForwardResult> {
  return new Promise((resolve, reject) => {
    const passage = openPassage({ upstream, request, response, options, resolve, reject });
    response.on('error', ignore);
    if (response.closed || response.destroyed) {
      settle(passage);
      return;
    }
    response.on('close', () => leaveBehind(passage));
    send(passage);
  });
}

function send(passage: Passage): void {
  const { upstream, request } = passage;
  passage.attempts += 1;
  const connection = upstream.connections.take();
  connection.client.dispatch(
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
      if (passage.ended && passage.rest === undefined) abort();
    },
    onHeaders(status, rawHeaders, resume) {
      if (status < 200 && status !== 101 && status >= 100) return onInformational(passage);
      passage.resume = resume;
      return onHead(passage, status, rawHeaders);
    },
    onData: (chunk) => onBody(passage, chunk),
    onComplete() {
      passage.upstream.connections.give(connection);
      if (passage.rest !== undefined) return passage.rest.end();
      if (passage.ended) return;
      if (passage.filter === undefined) deliverEnd(passage, undefined);
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
  if (passage.rest !== undefined) return true;
  if (response.destroyed) return false;
  passage.firstByteMs = performance.now() - passage.startedMs;
  if (status < 200 || status > 599) return refuse(passage, 'status');
  // The gateway's own credential was not good enough: the client can do nothing about that.
  if (status === 401 || status === 407) {
    return refuse(passage, 'credential', credentialRefused(passage.upstream.name, status));
  }
  passage.status = status;
  let head: ResponseHead;
  try {
    head = relayResponseHeaders(rawHeaders, status, options.extraHeaders, options.rewriteHeaders);
  } catch (cause) {
    return refuse(passage, 'protocol', cause);
  }
  if (announcesTooMuch(passage, status, head)) return refuse(passage, 'too_large');
  passage.filter = passage.request.method === 'HEAD' ? undefined : options.filter?.(status, head);
  if (passage.filter === undefined) {
    passage.contentLength = head.contentLength;
    return sendHead(passage, status, head, head.headers);
  }
  if (!passage.filter.whole) return sendHead(passage, status, head, filteredHeaders(head.headers, undefined));
  passage.heldHead = head;
  return true;
}

function sendHead(passage: Passage, status: number, head: ResponseHead, headers: string[]): boolean {
  const { response, options } = passage;
  try {
    response.writeHead(status, headers);
  } catch (cause) {
    return refuse(passage, 'protocol', cause);
  }
  if (head.eventStream) beginStream(passage, head);
  options.onResponseStart?.(status, head.eventStream ? eventStreamOf(passage) : undefined);
  if (head.eventStream) response.flushHeaders();
  return true;
}

/** Where the bytes are encoded, or their number is promised, nothing can be said between events. */
function beginStream(passage: Passage, { contentEncoding = 'identity' }: ResponseHead): void {
  if (passage.contentLength === undefined && passage.heldHead === undefined && contentEncoding === 'identity') {
    passage.boundary = createEventBoundary();
  }
  passage.endless = passage.request.method === 'GET' || passage.options.subscription === true;
}

function announcesTooMuch(
  { request, upstream }: Passage,
  status: number,
  { contentLength = 0 }: ResponseHead,
): boolean {
  return contentLength > upstream.limits.responseBytes && request.method !== 'HEAD' && status !== 304;
}

/** False pauses the upstream until the client has taken what it was given. */
function onBody(passage: Passage, chunk: Buffer): boolean {
  const { filter, upstream } = passage;
  passage.received += chunk.length;
  if (!passage.endless && passage.received > upstream.limits.responseBytes) return refuse(passage, 'too_large');
  if (passage.rest !== undefined) return true;
  if (passage.response.destroyed) return false;
  if (filter !== undefined) return onFilteredBody(passage, filter, chunk);
  if (passage.bytes + chunk.length === passage.contentLength) {
    deliverEnd(passage, chunk);
    return true;
  }
  return deliver(passage, chunk) && !holdsTooMuch(passage);
}

/** An event without an end, on a stream without one. */
function holdsTooMuch(passage: Passage): boolean {
  const open = passage.endless ? (passage.boundary?.openBytes() ?? 0) : 0;
  if (open <= passage.upstream.limits.responseBytes) return false;
  refuse(passage, 'too_large');
  return true;
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
    if (!sendHead(passage, status!, heldHead, headers)) return;
  }
  deliverEnd(passage, last);
}

function refuse(passage: Passage, reason: UpstreamFailure, cause?: unknown): boolean {
  onFailure(passage, reason, cause);
  passage.abort?.();
  return false;
}

function onFailure(passage: Passage, failure: UpstreamFailure, cause: unknown): void {
  if (passage.rest !== undefined) {
    passage.rest.end();
    return;
  }
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
