// Forwarding of a judged request, and relay of the answer as it comes: no buffering, no redirects followed, no clean end to a cut answer.
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { type Dispatcher, errors } from 'undici';
import { type BodyFilter, filteredHeaders } from './body-filter.ts';
import type { Connection } from './connection-pool.ts';
import { credentialRefused, type UpstreamFailure, upstreamError, upstreamFailure } from './errors.ts';
import { type ResponseHead, relayResponseHeaders } from './response-headers.ts';
import { eventStreamOf, writeBody, writeEnd } from './response-writer.ts';
import { createEventBoundary } from './sse-boundary.ts';
import {
  type ForwardOptions,
  type ForwardRequest,
  type ForwardResult,
  startTransfer,
  type Transfer,
} from './transfer.ts';
import type { Upstream } from './upstream.ts';

export type { ForwardOptions, ForwardRequest, ForwardResult, OpenStream } from './transfer.ts';

const maxInformational = 16;

/**
 * Forwards one request. Resolves when the client's side has closed, whatever the outcome;
 * rejects with a GatewayError when nothing was sent to the client, so that the caller can still answer: `bad_upstream`,
 * `upstream_timeout`, `overloaded` without descriptors, or what the request's body stream failed with. A client that leaves ends the
 * upstream's request at once, unless `options.draining` says otherwise. An upstream that breaks off mid-body costs the client its connection.
 * Requests with a body and methods but GET and HEAD are sent once; those two again, once, when the connection was closed before any answer.
 * `send` hands the request to its connection; `dispatch` by default.
 */
export function forward(
  upstream: Upstream,
  request: ForwardRequest,
  response: ServerResponse,
  options: ForwardOptions = {},
  send: (transfer: Transfer) => void = dispatch,
): Promise<ForwardResult> {
  return startTransfer({ upstream, request, response, options, send });
}

/** Sends the request of a transfer on a connection of its upstream; the answer goes to the client. */
export function dispatch(transfer: Transfer): void {
  const { upstream, request, options } = transfer;
  transfer.attempts += 1;
  const connection = upstream.connections.take();
  const isStreamed = request.body !== null && !Buffer.isBuffer(request.body);
  if (isStreamed) boundFirstByte(transfer, request.body);
  connection.client.dispatch(
    {
      path: upstream.basePath + request.path,
      method: request.method as Dispatcher.HttpMethod,
      headers: request.headers,
      body: request.body,
      ...(isStreamed && { headersTimeout: 0 }),
      ...(options.upgrade && { upgrade: options.upgrade.protocol }),
    },
    createHandler(transfer, connection),
  );
}

/** Undici counts from the begin of a request, which takes as long as its client likes: here from the last byte of its body. */
function boundFirstByte(transfer: Transfer, body: Readable): void {
  const timer = setTimeout(() => refuse(transfer, 'first_byte_timeout'), transfer.upstream.timeouts.firstByte).unref();
  body.on('progress', () => timer.refresh());
  transfer.firstByteTimer = timer;
}

function createHandler(transfer: Transfer, connection: Connection): Dispatcher.DispatchHandler {
  const { connections } = transfer.upstream;
  return {
    onRequestStart(controller) {
      transfer.abort = () => controller.abort(new errors.RequestAbortedError());
      transfer.resume = () => controller.resume();
      if (transfer.ended && transfer.rest === undefined) transfer.abort();
    },
    onRequestUpgrade(controller, _status, _headers, socket) {
      connections.give(connection);
      onUpgrade(transfer, controller.rawHeaders as Buffer[], socket as Socket);
    },
    onResponseStart(controller, status) {
      const more =
        status < 200 && status !== 101 && status >= 100
          ? onInformational(transfer)
          : onHead(transfer, status, controller.rawHeaders as Buffer[]);
      if (!more) controller.pause();
    },
    onResponseData(controller, chunk) {
      if (!onBody(transfer, chunk)) controller.pause();
    },
    onResponseEnd() {
      connections.give(connection);
      transfer.abort = undefined;
      if (transfer.rest !== undefined) return transfer.rest.end();
      if (transfer.ended) return;
      if (transfer.filter === undefined) writeEnd(transfer, undefined);
      else onFilteredEnd(transfer, transfer.filter);
    },
    onResponseError(_controller, cause) {
      connections.give(connection);
      transfer.abort = undefined;
      onFailure(transfer, upstreamFailure(cause), cause);
    },
  };
}

/** Interim answers are not relayed. Their number and, once they come, the time they take are bounded. */
function onInformational(transfer: Transfer): boolean {
  transfer.informational += 1;
  if (transfer.informational > maxInformational) return refuse(transfer, 'informational');
  const late = performance.now() - transfer.startedMs > transfer.upstream.timeouts.firstByte;
  return late ? refuse(transfer, 'first_byte_timeout') : true;
}

function onHead(transfer: Transfer, status: number, rawHeaders: readonly Buffer[]): boolean {
  const { response, options } = transfer;
  if (transfer.rest !== undefined) return true;
  if (response.destroyed) return false;
  clearTimeout(transfer.firstByteTimer);
  transfer.firstByteMs = performance.now() - transfer.startedMs;
  if (status < 200 || status > 599) return refuse(transfer, 'status');
  // The gateway's own credential was not good enough: the client can do nothing about that.
  if (status === 401 || status === 407) {
    return refuse(transfer, 'credential', credentialRefused(transfer.upstream.name, status));
  }
  transfer.status = status;
  let head: ResponseHead;
  try {
    head = relayResponseHeaders(rawHeaders, status, options.extraHeaders, options.rewriteHeaders);
  } catch (cause) {
    return refuse(transfer, 'protocol', cause);
  }
  if (announcesTooMuch(transfer, status, head)) return refuse(transfer, 'too_large');
  transfer.filter = transfer.request.method === 'HEAD' ? undefined : options.filter?.(status, head);
  if (transfer.filter === undefined) {
    transfer.contentLength = head.contentLength;
    return sendHead(transfer, status, head, head.headers);
  }
  if (!transfer.filter.whole) return sendHead(transfer, status, head, filteredHeaders(head.headers, undefined));
  transfer.heldHead = head;
  return true;
}

function sendHead(transfer: Transfer, status: number, head: ResponseHead, headers: string[]): boolean {
  const { response, options } = transfer;
  // RFC 9112 §9.3: what is left of a request that was answered early is not read, so that no other can follow it.
  if (!response.req.complete && options.extraHeaders?.connection === undefined) headers.push('connection', 'close');
  try {
    response.writeHead(status, headers);
  } catch (cause) {
    return refuse(transfer, 'protocol', cause);
  }
  if (head.eventStream) beginStream(transfer, head);
  options.onResponseStart?.(status, head.eventStream ? eventStreamOf(transfer) : undefined);
  if (head.eventStream) response.flushHeaders();
  return true;
}

/** The upstream agrees to switch protocols: so does the gateway, and what follows is not HTTP any more. */
function onUpgrade(transfer: Transfer, rawHeaders: readonly Buffer[], socket: Socket): void {
  const { options, response } = transfer;
  const { connection: _, ...extraHeaders } = options.extraHeaders ?? {};
  const { protocol } = options.upgrade!;
  clearTimeout(transfer.firstByteTimer);
  transfer.firstByteMs = performance.now() - transfer.startedMs;
  transfer.status = 101;
  transfer.abort = () => socket.destroy();
  if (response.destroyed) return void socket.destroy();
  try {
    const { headers } = relayResponseHeaders(rawHeaders, 101, extraHeaders);
    response.writeHead(101, [...headers, 'connection', 'Upgrade', 'upgrade', protocol]);
    response.flushHeaders();
  } catch (cause) {
    socket.destroy();
    onFailure(transfer, 'protocol', cause);
    return;
  }
  options.onResponseStart?.(101, options.upgrade!.switched(transfer, socket));
}

/** Where the bytes are encoded, or their number is promised, nothing can be said between events. */
function beginStream(transfer: Transfer, { contentEncoding = 'identity' }: ResponseHead): void {
  if (transfer.contentLength === undefined && transfer.heldHead === undefined && contentEncoding === 'identity') {
    transfer.boundary = createEventBoundary();
  }
  transfer.endless = transfer.request.method === 'GET' || transfer.options.subscription === true;
}

function announcesTooMuch(
  { request, upstream }: Transfer,
  status: number,
  { contentLength = 0 }: ResponseHead,
): boolean {
  return contentLength > upstream.limits.responseBytes && request.method !== 'HEAD' && status !== 304;
}

/** False pauses the upstream until the client has taken what it was given. */
function onBody(transfer: Transfer, chunk: Buffer): boolean {
  const { filter, upstream } = transfer;
  transfer.received += chunk.length;
  if (!transfer.endless && transfer.received > upstream.limits.responseBytes) return refuse(transfer, 'too_large');
  if (transfer.rest !== undefined) return true;
  if (transfer.response.destroyed) return false;
  if (filter !== undefined) return onFilteredBody(transfer, filter, chunk);
  if (transfer.bytes + chunk.length === transfer.contentLength) {
    writeEnd(transfer, chunk);
    return true;
  }
  return writeBody(transfer, chunk) && !holdsTooMuch(transfer);
}

/** An event without an end, on a stream without one. */
function holdsTooMuch(transfer: Transfer): boolean {
  const open = transfer.endless ? (transfer.boundary?.openBytes() ?? 0) : 0;
  if (open <= transfer.upstream.limits.responseBytes) return false;
  refuse(transfer, 'too_large');
  return true;
}

function onFilteredBody(transfer: Transfer, filter: BodyFilter, chunk: Buffer): boolean {
  let passed: Buffer | undefined;
  try {
    passed = filter.write(chunk);
  } catch (cause) {
    return refuse(transfer, 'unreadable', cause);
  }
  return passed === undefined || writeBody(transfer, passed);
}

function onFilteredEnd(transfer: Transfer, filter: BodyFilter): void {
  const { heldHead, status } = transfer;
  let last: Buffer | undefined;
  try {
    last = filter.end();
  } catch (cause) {
    onFailure(transfer, 'unreadable', cause);
    return;
  }
  if (heldHead !== undefined) {
    const headers = filteredHeaders(heldHead.headers, last?.length ?? 0);
    if (!sendHead(transfer, status!, heldHead, headers)) return;
  }
  writeEnd(transfer, last);
}

function refuse(transfer: Transfer, reason: UpstreamFailure, cause?: unknown): boolean {
  onFailure(transfer, reason, cause);
  transfer.abort?.();
  return false;
}

function onFailure(transfer: Transfer, failure: UpstreamFailure, cause: unknown): void {
  if (transfer.rest !== undefined) {
    transfer.rest.end();
    return;
  }
  if (transfer.ended) return;
  if (mayRepeat(transfer, failure)) {
    transfer.send(transfer);
    return;
  }
  if (transfer.response.headersSent || transfer.response.destroyed) {
    transfer.failure ??= failure;
    transfer.response.destroy();
    return;
  }
  transfer.ended = true;
  clearTimeout(transfer.firstByteTimer);
  transfer.reject(upstreamError(failure, cause));
}

/** RFC 9110 §9.2.2: only what is idempotent, and only before a byte of an answer. A kept-alive connection may close under a request. */
function mayRepeat({ attempts, request, informational, firstByteMs }: Transfer, failure: UpstreamFailure): boolean {
  const { method, body } = request;
  return (
    failure === 'reset' &&
    attempts === 1 &&
    (method === 'GET' || method === 'HEAD') &&
    (body === null || (Buffer.isBuffer(body) && body.length === 0)) &&
    informational === 0 &&
    firstByteMs === undefined
  );
}
