// The request body as one bounded buffer: what is judged is what is sent.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { GatewayError } from '../errors.ts';
import { hasBody } from './framing.ts';

const empty = Buffer.alloc(0);

/**
 * Reads the whole body; asks for it with `100 Continue` where the client waits for that.
 * Throws `body_too_large` as soon as the limit is known to be passed, and `bad_request` (reason `client_gone`) when the client leaves.
 */
export function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  limitBytes: number,
): Promise<Buffer> | Buffer {
  if (!hasBody(request)) return empty;
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > limitBytes) throw tooLarge(limitBytes);
  // RFC 9110 §10.1.1: an HTTP/1.0 client would take it for the answer.
  if (request.headers.expect !== undefined && request.httpVersion === '1.1') response.writeContinue();
  return new Promise((resolve, reject) => {
    let first: Buffer | undefined;
    let more: Buffer[] | undefined;
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > limitBytes) {
        request.pause();
        reject(tooLarge(limitBytes));
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
  });
}

function tooLarge(limitBytes: number): GatewayError {
  return new GatewayError('body_too_large', `The body is larger than ${limitBytes} bytes.`);
}

function gone(cause: unknown): GatewayError {
  return new GatewayError('bad_request', 'The request ended before its body was complete.', {
    reason: 'client_gone',
    cause,
  });
}
