// Relay of an upstream's response to the client: head, body, end and failure. Only a filter buffers, and a cut body ends uncleanly.
import type { Socket } from 'node:net';
import { credentialRefused, type UpstreamFailure, upstreamError } from '../errors.ts';
import type { Transfer } from '../transfer.ts';
import { abortUpstream } from '../transfer.ts';
import { type BodyFilter, filteredHeaders } from './body-filter.ts';
import { type ResponseHead, refuseContent, relayResponseHeaders } from './headers.ts';
import { createEventBoundary } from './sse-boundary.ts';
import { eventStreamOf, writeBody, writeEnd } from './writer.ts';

const maxInformational = 16;

/** An interim response (RFC 9110 §15.2): not relayed, and bounded in number and time. False pauses the upstream, as in every function here. */
export function relayInformational(transfer: Transfer, status: number, rawHeaders: readonly Buffer[]): boolean {
  transfer.informational += 1;
  try {
    refuseContent(status, rawHeaders);
  } catch (cause) {
    return rejectResponse(transfer, 'protocol', cause);
  }
  if (transfer.informational > maxInformational) return rejectResponse(transfer, 'informational');
  const late = performance.now() - transfer.startedMs > transfer.upstream.timeouts.firstByte;
  return late ? rejectResponse(transfer, 'first_byte_timeout') : true;
}

/** The head of the final response: sends it, or holds it back for a filter that needs the whole body. */
export function relayHead(transfer: Transfer, status: number, rawHeaders: readonly Buffer[]): boolean {
  const { response, options } = transfer;
  if (transfer.drain !== undefined) return true;
  if (response.destroyed) return false;
  clearTimeout(transfer.firstByteTimer);
  transfer.firstByteMs = performance.now() - transfer.startedMs;
  if (status < 200 || status > 599) return rejectResponse(transfer, 'status');
  // The upstream refuses the gateway's own credential, which the client can do nothing about.
  if (status === 401 || status === 407) {
    return rejectResponse(transfer, 'credential', credentialRefused(transfer.upstream.name, status));
  }
  transfer.status = status;
  let head: ResponseHead;
  try {
    head = relayResponseHeaders(rawHeaders, status, options.extraHeaders, transfer.request, options.rewriteHeaders);
  } catch (cause) {
    return rejectResponse(transfer, 'protocol', cause);
  }
  if (announcesTooMuch(transfer, status, head)) return rejectResponse(transfer, 'too_large');
  const hasNoBody = status === 204 || status === 205 || status === 304;
  transfer.filter = hasNoBody || transfer.request.method === 'HEAD' ? undefined : options.filter?.(status, head);
  if (transfer.filter === undefined) {
    transfer.contentLength = head.contentLength;
    const sent = sendHead(transfer, status, head, head.headers);
    // Whatever its length says (RFC 9110 §8.6). The end of the upstream's message is nobody's concern.
    if (sent && hasNoBody) writeEnd(transfer, undefined);
    return sent;
  }
  if (!transfer.filter.whole) return sendHead(transfer, status, head, filteredHeaders(head.headers, undefined));
  transfer.heldHead = head;
  return true;
}

function sendHead(transfer: Transfer, status: number, head: ResponseHead, headers: string[]): boolean {
  const { response, options } = transfer;
  // RFC 9112 §9.3: the rest of a request that was answered early is not read, so no other request can follow.
  if (!response.req.complete && options.extraHeaders?.connection === undefined) headers.push('connection', 'close');
  try {
    response.writeHead(status, headers);
  } catch (cause) {
    return rejectResponse(transfer, 'protocol', cause);
  }
  if (head.eventStream) beginStream(transfer, head);
  options.onResponseStart?.(status, head.eventStream ? eventStreamOf(transfer) : undefined);
  if (head.eventStream) response.flushHeaders();
  return true;
}

/** Switches the client's connection to the protocol that the upstream has agreed to (RFC 9110 §7.8). */
export function relayUpgrade(transfer: Transfer, rawHeaders: readonly Buffer[], socket: Socket): void {
  const { options, response } = transfer;
  const { connection: _, ...extraHeaders } = options.extraHeaders ?? {};
  const { agrees, protocol, switched } = options.upgrade!;
  clearTimeout(transfer.firstByteTimer);
  transfer.firstByteMs = performance.now() - transfer.startedMs;
  transfer.status = 101;
  transfer.controller = { abort: () => socket.destroy(), resume: () => {} };
  if (response.destroyed) return void socket.destroy();
  try {
    if (!agrees(rawHeaders)) throw new Error('the upstream answered 101 without agreeing to the offer');
    const { headers } = relayResponseHeaders(rawHeaders, 101, extraHeaders, transfer.request);
    response.writeHead(101, [...headers, 'connection', 'Upgrade', 'upgrade', protocol]);
    response.flushHeaders();
  } catch (cause) {
    socket.destroy();
    relayFailure(transfer, 'protocol', cause);
    return;
  }
  options.onResponseStart?.(101, switched(transfer, socket));
}

/** Encoded bytes, or bytes of an announced length, have no boundary that a comment could be written at. */
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

/** A chunk of the body. False pauses the upstream until the client has taken it. */
export function relayBody(transfer: Transfer, chunk: Buffer): boolean {
  const { filter, options, upstream } = transfer;
  transfer.received += chunk.length;
  options.onBody?.(chunk.length);
  if (!transfer.endless && transfer.received > upstream.limits.responseBytes)
    return rejectResponse(transfer, 'too_large');
  if (transfer.drain !== undefined) return true;
  if (transfer.response.destroyed) return false;
  if (filter !== undefined) return filterBody(transfer, filter, chunk);
  if (transfer.bytes + chunk.length === transfer.contentLength) {
    writeEnd(transfer, chunk);
    return true;
  }
  return writeBody(transfer, chunk) && !exceedsEventLimit(transfer);
}

/** Rejects a single event above `responseBytes` on an endless stream. */
function exceedsEventLimit(transfer: Transfer): boolean {
  const eventBytes = transfer.endless ? (transfer.boundary?.openBytes() ?? 0) : 0;
  if (eventBytes <= transfer.upstream.limits.responseBytes) return false;
  rejectResponse(transfer, 'too_large');
  return true;
}

/** The end of the upstream's body. */
export function relayEnd(transfer: Transfer): void {
  if (transfer.drain !== undefined) transfer.drain.end();
  else if (transfer.ended) return;
  else if (transfer.filter === undefined) writeEnd(transfer, undefined);
  else filterEnd(transfer, transfer.filter);
}

function filterBody(transfer: Transfer, filter: BodyFilter, chunk: Buffer): boolean {
  let passed: Buffer | undefined;
  try {
    passed = filter.write(chunk);
  } catch (cause) {
    return rejectResponse(transfer, 'unreadable', cause);
  }
  return passed === undefined || writeBody(transfer, passed);
}

function filterEnd(transfer: Transfer, filter: BodyFilter): void {
  const { heldHead, status } = transfer;
  let last: Buffer | undefined;
  try {
    last = filter.end();
  } catch (cause) {
    relayFailure(transfer, 'unreadable', cause);
    return;
  }
  if (heldHead !== undefined) {
    const headers = filteredHeaders(heldHead.headers, last?.length ?? 0);
    if (!sendHead(transfer, status!, heldHead, headers)) return;
  }
  writeEnd(transfer, last);
}

/** Fails the transfer for a response that is not relayed, and aborts the upstream's request. Gives false. */
export function rejectResponse(transfer: Transfer, reason: UpstreamFailure, cause?: unknown): boolean {
  relayFailure(transfer, reason, cause);
  abortUpstream(transfer);
  return false;
}

/** A failure: the request is repeated where it may be, else the promise rejects, or the client's connection is cut once it has the head. */
export function relayFailure(transfer: Transfer, failure: UpstreamFailure, cause: unknown): void {
  if (transfer.drain !== undefined) {
    transfer.drain.end();
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

/** RFC 9110 §9.2.2: idempotent requests only, and only before the first byte of a response. A kept-alive connection may close as a request is sent. */
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
