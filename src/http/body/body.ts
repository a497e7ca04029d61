// Request bodies, bounded in bytes and time: read whole where they are judged, streamed where they are not.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { GatewayError } from '../../errors.ts';
import { hasBody } from '../framing.ts';
import { createByteBuffer } from './byte-buffer.ts';
import { freeBuffer } from './free.ts';

/** The reason of the error of a request whose client left before it was complete. */
export const clientGone = 'client_gone';

/** Limits of a request body. */
export interface BodyLimits {
  readonly bodyBytes: number;
  /** For a body that is read whole; of one that is streamed, for each `bytesPerPeriod`. */
  readonly receiveTimeoutMs: number;
}

/** Reserved at first for a body of unknown length. */
const firstReservation = 65_536;
/** A streamed body has no time limit as a whole; each of these parts has to arrive within `receiveTimeoutMs`. */
const bytesPerPeriod = 1024 * 1024;
const empty = Buffer.alloc(0);
const ignore = (): void => {};

/** Throws `body_too_large` for an announced length above the limit. */
export function checkAnnouncedLength(request: IncomingMessage, limits: BodyLimits): void {
  checkLength(Number(request.headers['content-length'] ?? 0), limits);
}

/** Throws `body_too_large`. */
export function checkLength(length: number, { bodyBytes }: Pick<BodyLimits, 'bodyBytes'>): void {
  if (length > bodyBytes) throw tooLarge(bodyBytes);
}

/** Sends 100 (Continue) where the client waits for it. RFC 9110 §10.1.1: an HTTP/1.0 client would take it for the response. */
export function sendContinue(request: IncomingMessage, response: ServerResponse): void {
  if (request.headers.expect !== undefined && request.httpVersion === '1.1' && hasBody(request)) {
    response.writeContinue();
  }
}

/**
 * Reads the whole body, nothing where there is none. `reserve` is called with the number of bytes before that many are held, and with the real one at
 * the end; the read fails with what it throws. Without `reserve` nothing is held, and the result is empty. Throws `body_too_large` as soon as the limit
 * is passed, `request_timeout`, and `bad_request` (reason `client_gone`) when the client leaves.
 */
export async function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  limits: BodyLimits,
  reserve: ((bytes: number) => void) | undefined,
): Promise<Buffer> {
  if (!hasBody(request)) return empty;
  checkAnnouncedLength(request, limits);
  // It came with its head, as most do.
  if (request.complete && request.readableLength <= limits.bodyBytes) {
    reserve?.(request.readableLength);
    const whole = request.read() as Buffer | null;
    return (reserve && whole) ?? empty;
  }
  const announced = Number(request.headers['content-length'] ?? 0);
  let reserved = announced || Math.min(firstReservation, limits.bodyBytes);
  reserve?.(reserved);
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const timer = setTimeout(() => reject(tooSlow()), limits.receiveTimeoutMs).unref();
  const body = createByteBuffer(announced, freeBuffer);
  let length = 0;
  const takePiece = (chunk: Buffer): void => {
    try {
      length += chunk.length;
      if (length > limits.bodyBytes) throw tooLarge(limits.bodyBytes);
      if (length > reserved) {
        reserved = Math.min(limits.bodyBytes, 2 * length);
        reserve?.(reserved);
      }
      if (reserve !== undefined) body.append(chunk);
    } catch (refused) {
      giveBack(request, chunk);
      reject(refused);
    }
  };
  request.on('data', takePiece).on('end', () => resolve(body.take()));
  request.on('error', (cause) => reject(gone(cause)));
  // Not the request's: it stays open when the client half-closes in the middle of its body.
  response.on('close', () => {
    if (!request.readableEnded) reject(gone(undefined));
  });
  try {
    const whole = await promise;
    reserve?.(whole.length);
    return whole;
  } catch (refused) {
    giveBack(request, body.take());
    throw refused;
  } finally {
    clearTimeout(timer);
    request.off('data', takePiece);
  }
}

/** The refusal of a request looks for its id in what came. */
function giveBack(request: IncomingMessage, bytes: Buffer): void {
  request.pause();
  if (!request.readableEnded && !request.destroyed) request.unshift(bytes);
}

/**
 * The body as a stream that emits `progress` for each chunk and holds at most one, or the rest; null where there is none. It fails with the
 * GatewayErrors of `readBody` and what `check` throws before a chunk of so many bytes, and leaves the request open for its response.
 */
export function streamBody(
  request: IncomingMessage,
  limits: BodyLimits,
  check: (bytes: number) => void,
): Readable | null {
  if (!hasBody(request)) return null;
  checkAnnouncedLength(request, limits);
  let length = 0;
  let periodEnd = bytesPerPeriod;
  let timer: NodeJS.Timeout | undefined;
  const stop = (): void => clearTimeout(timer);
  const restart = (): void => {
    stop();
    if (!body.destroyed && !request.readableEnded) {
      timer = setTimeout(() => body.destroy(tooSlow()), limits.receiveTimeoutMs).unref();
    }
  };
  const body = new Readable({ highWaterMark: 1, read: () => void request.resume() });
  request.on('data', (chunk: Buffer) => {
    if (body.destroyed) return;
    length += chunk.length;
    body.emit('progress');
    if (length >= periodEnd) {
      periodEnd = length + bytesPerPeriod;
      restart();
    }
    try {
      if (length > limits.bodyBytes) throw tooLarge(limits.bodyBytes);
      check(chunk.length);
      if (!body.push(chunk) && !request.complete) request.pause();
    } catch (refused) {
      body.destroy(refused as Error);
    }
  });
  // Time in which the upstream takes nothing is not the client's.
  request.on('pause', stop).on('resume', restart);
  request.on('end', () => {
    stop();
    body.push(null);
  });
  // A client that leaves closes the response as well, which ends what reads this body.
  request.on('error', ignore);
  body.on('error', ignore).on('close', () => {
    stop();
    request.pause();
  });
  return body;
}

/** Bounds the time of a body that goes on after the response: the connection is cut when the rest is late. */
export function boundUnreadBody(request: IncomingMessage, { receiveTimeoutMs }: BodyLimits): void {
  if (request.complete || request.socket.destroyed) return;
  const timer = setTimeout(() => request.socket.destroy(), receiveTimeoutMs).unref();
  const stop = (): void => clearTimeout(timer);
  request.on('end', stop).on('close', stop);
}

function tooLarge(limitBytes: number): GatewayError {
  return new GatewayError('body_too_large', `The body is larger than ${limitBytes} bytes.`);
}

function tooSlow(): GatewayError {
  return new GatewayError('request_timeout', 'The request took too long to arrive.');
}

function gone(cause: unknown): GatewayError {
  return new GatewayError('bad_request', 'The request ended before its body was complete.', {
    reason: clientGone,
    cause,
  });
}
