// Request bodies, bounded in bytes and time: read whole where they are judged, streamed where they are not.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Transform } from 'node:stream';
import { GatewayError } from '../errors.ts';
import { hasBody } from './framing.ts';

/** The reason of the error of a request whose client left before it was complete. */
export const clientGone = 'client_gone';

/** Limits of a request body. */
export interface BodyLimits {
  readonly bodyBytes: number;
  /** For a body that is read whole; of one that is streamed, for each `bytesPerPeriod`. */
  readonly receiveTimeoutMs: number;
}

/** A streamed body has no time limit as a whole; each of these parts has to arrive within `receiveTimeoutMs`. */
const bytesPerPeriod = 1024 * 1024;
const empty = Buffer.alloc(0);
const ignore = (): void => {};

/** Throws `body_too_large` for an announced length above the limit. */
export function checkAnnouncedLength(request: IncomingMessage, { bodyBytes }: BodyLimits): void {
  if (Number(request.headers['content-length'] ?? 0) > bodyBytes) throw tooLarge(bodyBytes);
}

/** Sends 100 (Continue) where the client waits for it. RFC 9110 §10.1.1: an HTTP/1.0 client would take it for the response. */
export function sendContinue(request: IncomingMessage, response: ServerResponse): void {
  if (request.headers.expect !== undefined && request.httpVersion === '1.1' && hasBody(request)) {
    response.writeContinue();
  }
}

/**
 * Reads the whole body, nothing where there is none. Throws `body_too_large` as soon as the limit is passed, `request_timeout`, and
 * `bad_request` (reason `client_gone`) when the client leaves.
 */
export async function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  limits: BodyLimits,
): Promise<Buffer> {
  if (!hasBody(request)) return empty;
  checkAnnouncedLength(request, limits);
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const timer = setTimeout(() => reject(tooSlow()), limits.receiveTimeoutMs).unref();
  let first: Buffer | undefined;
  let more: Buffer[] | undefined;
  let length = 0;
  request.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length > limits.bodyBytes) {
      request.pause();
      reject(tooLarge(limits.bodyBytes));
    } else if (first === undefined) first = chunk;
    else if (more === undefined) more = [first, chunk];
    else more.push(chunk);
  });
  request.on('end', () => resolve(more === undefined ? (first ?? empty) : Buffer.concat(more, length)));
  request.on('error', (cause) => reject(gone(cause)));
  // Not the request's: it stays open when the client half-closes in the middle of its body.
  response.on('close', () => {
    if (!request.readableEnded) reject(gone(undefined));
  });
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The body as a stream that emits `progress` for each chunk and holds no more than a few of them; null where there is none. It fails with
 * the GatewayErrors of `readBody`, and leaves the request open for its response.
 */
export function streamBody(request: IncomingMessage, limits: BodyLimits): Transform | null {
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
  const body = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      length += chunk.length;
      body.emit('progress');
      if (length >= periodEnd) {
        periodEnd = length + bytesPerPeriod;
        restart();
      }
      if (length > limits.bodyBytes) done(tooLarge(limits.bodyBytes));
      else done(null, chunk);
    },
  });
  // Time in which the upstream takes nothing is not the client's.
  request.on('pause', stop).on('resume', restart).on('end', stop);
  // A client that leaves closes the response as well, which ends what reads this body.
  request.on('error', ignore);
  body.on('error', () => request.unpipe(body).pause());
  body.on('close', stop);
  return request.pipe(body);
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
