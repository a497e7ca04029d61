// Connection errors before or within a request: response where one can be written, record and count.
import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import { type ErrorCode, GatewayError } from '../../errors.ts';
import { clientGone } from '../../http/body/body.ts';
import { isIdle, refuseRest } from '../../http/connection/pipelining.ts';
import { badFraming } from '../../http/framing.ts';
import { STATUS_CODES } from '../../http/node-http.ts';
import { problem } from '../../http/problem.ts';
import { plainAddress } from '../../ip-ranges.ts';
import { connectionEvent } from '../request/audit-events.ts';
import { refuse } from '../request/completion.ts';
import type { RequestContext } from '../request/context.ts';
import { rateLimited } from '../request/error-response.ts';
import type { Runtime } from '../runtime.ts';

/** Headers of refusals behind which bytes belong to no request. */
export const closing = { connection: 'close' };

/**
 * Refuses what could not be parsed. It takes the request before it down while that is incomplete or undecided. One that may have been carried out has
 * its own answer.
 */
export function onClientError(error: Error & { code?: string }, socket: Socket, runtime: Runtime): void {
  // Of a connection that was ended, the rest is no request.
  if (error.code === 'ECONNRESET' || socket.destroyed || socket.writableEnded) {
    socket.destroy();
    return;
  }
  const { code, message, reason } = parserErrors[error.code ?? ''] ?? notHttp;
  const details = { cause: error, headers: closing, ...(reason !== undefined && { reason }) };
  const refusal = new GatewayError(code, message, details);
  const last = lastRequestOf(socket, runtime);
  if (last !== undefined && !(last.request.complete && (last.decided !== undefined || last.answered))) {
    void refuse(refusal, last, runtime);
    return;
  }
  refuseConnection(refusal, socket, runtime);
  // The client has left the requests before, as where it ends the connection behind a whole one.
  if (reason === clientGone) socket.end();
}

interface ParserError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly reason?: string;
}

const notHttp: ParserError = {
  code: 'bad_request',
  message: 'The request is not valid HTTP/1.1.',
  reason: badFraming,
};
const parserErrors: Readonly<Record<string, ParserError>> = {
  HPE_HEADER_OVERFLOW: {
    code: 'headers_too_large',
    message:
      'The request head is larger than this gateway takes. If the access token is most of it, obtain one with less in it, such as fewer groups.',
  },
  HPE_INVALID_EOF_STATE: {
    code: 'bad_request',
    message: 'The request ended before it was complete.',
    reason: clientGone,
  },
  ERR_HTTP_REQUEST_TIMEOUT: { code: 'request_timeout', message: 'The request took too long to arrive.' },
};

/** Refuses what stands behind the requests of this socket, and closes it, once they are answered. */
export function refuseConnection(error: GatewayError, socket: Socket, runtime: Runtime, method?: string): void {
  refuseRest(socket, () => writeRefusal(error, socket, runtime, method));
}

function writeRefusal(error: GatewayError, socket: Socket, runtime: Runtime, method: string | undefined): void {
  // The last answer has ended the connection.
  if (socket.writableEnded && !socket.readableEnded && !socket.destroyed) return;
  const id = randomUUID();
  const status = socket.writable ? error.status : undefined;
  const isRecorded = recordConnection(id, socket, runtime, { reason: error.code, status, method });
  const shown = isRecorded ? error : rateLimited(error);
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const body = problem(shown, id);
  const retryAfter = isRecorded ? '' : `Retry-After: ${shown.headers['retry-after']}\r\n`;
  socket.write(
    `HTTP/1.1 ${shown.status} ${STATUS_CODES[shown.status]}\r\nContent-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `${retryAfter}Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX-Request-Id: ${id}\r\nConnection: close\r\n\r\n${body}`,
  );
  socket.destroySoon();
}

/** The last open request of a connection. A flood of connections without one costs no look at those of all others. */
function lastRequestOf(socket: Socket, { open }: Runtime): RequestContext | undefined {
  let last: RequestContext | undefined;
  if (isIdle(socket)) return last;
  for (const context of open) if (context.request.socket === socket) last = context;
  return last;
}

/** Counts and records a refusal. False above the limit of the address. */
export function recordConnection(
  id: string,
  socket: Socket,
  { log, metrics, now, peerAddress, snapshot, strangers }: Runtime,
  refused: { readonly reason: string; readonly status: number | undefined; readonly method?: string | undefined },
): boolean {
  const address = plainAddress(peerAddress(socket));
  const status = refused.status && 429;
  const isWithinLimit = strangers.allow({ key: address, outcome: 'refused', code: refused.reason, status });
  metrics.connectionRefused(isWithinLimit ? refused.reason : 'rate_limited');
  if (!isWithinLimit) return false;
  strangers
    .record(address, connectionEvent({ id, address, ...refused, policy: snapshot.hash, nowMs: now() }))
    .catch((cause: unknown) => log.error({ err: cause }, 'a refused connection could not be recorded'));
  return true;
}
