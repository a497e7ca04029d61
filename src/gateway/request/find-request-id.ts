// Id of the JSON-RPC request that an error response answers: without it some clients wait for ever, and others end their session.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { GatewayError } from '../../errors.ts';
import { clientGone } from '../../http/body/body.ts';
import { badFraming, hasBody } from '../../http/framing.ts';
import { createRequestIdScanner, type RequestIdScanner } from '../../mcp/request-id.ts';
import type { RequestContext } from './context.ts';
import { bodyLimitsOf } from './local-responses.ts';

/** Bytes of a body that are looked at for a stranger. */
const strangerBytes = 65_536;
/** Time for which a body is waited for that was refused at its head. */
const waitMs = 500;

/**
 * The id as JSON text. It is found in a message that is refused for something else, and in a body that was not read: its first bytes are looked at as they
 * come, and none are held. Undefined where there is none, for a response, and for a client with an Expect header. Never rejects.
 */
export async function findRequestId(context: RequestContext): Promise<string | undefined> {
  const { body, caller, error, message, method, request, response, route } = context;
  if (route?.mcp === undefined || method !== 'POST' || response.headersSent) return undefined;
  if (message !== undefined) return message.kind === 'request' ? message.id : undefined;
  const scanner = createRequestIdScanner();
  if (body !== undefined) scanner.write(body);
  else if (isReadable(error!) && request.headers.expect === undefined && hasBody(request)) {
    const maxBytes = caller === undefined ? strangerBytes : bodyLimitsOf(context).bodyBytes;
    await readInto(scanner, request, response, maxBytes);
  }
  return scanner.id();
}

/** False where nothing behind the head can be told or will come, and for a flood of strangers, which costs no more than its heads. */
function isReadable({ code, reason }: GatewayError): boolean {
  return reason !== badFraming && reason !== clientGone && code !== 'rate_limited';
}

/** The rest of the body is dropped as it comes. */
async function readInto(
  scanner: RequestIdScanner,
  request: IncomingMessage,
  response: ServerResponse,
  maxBytes: number,
): Promise<void> {
  if (request.readableEnded || request.destroyed || response.destroyed) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const done = (): void => resolve();
  let left = maxBytes;
  const onPiece = (piece: Buffer): void => {
    const isKnown = scanner.write(left < piece.length ? piece.subarray(0, left) : piece);
    left -= piece.length;
    if (isKnown || left <= 0) resolve();
  };
  const timer = setTimeout(done, waitMs).unref();
  request.on('data', onPiece).on('end', done).on('error', done).on('close', done).resume();
  response.on('close', done);
  await promise;
  clearTimeout(timer);
  request.off('data', onPiece).resume();
}
