// Connection errors before or within a request: response where one can be written, record and count.
import { randomUUID } from 'node:crypto';
import { type IncomingMessage, type Server, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { type ErrorCode, GatewayError } from '../../errors.ts';
import { clientGone } from '../../http/body.ts';
import { problem } from '../../http/problem.ts';
import { plainAddress } from '../../ip-ranges.ts';
import { connectionEvent } from '../request/audit-events.ts';
import { refuse } from '../request/completion.ts';
import type { Runtime } from '../runtime.ts';

/** Bytes after a parser error cannot be assigned to a request. */
const closing = { connection: 'close' };

/** Refuses a head that could not be parsed, or a request that broke after its head. */
export function onClientError(error: Error & { code?: string }, socket: Socket, runtime: Runtime): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) {
    socket.destroy();
    return;
  }
  const { code, message, reason } = parserErrors[error.code ?? ''] ?? notHttp;
  const details = { cause: error, headers: closing, ...(reason !== undefined && { reason }) };
  refuseConnection(new GatewayError(code, message, details), socket, runtime);
}

/** Handles CONNECT, failed TLS handshakes and connections above the limit. */
export function watchConnections(server: Server, runtime: Runtime): void {
  server.on('connect', (request: IncomingMessage, socket: Socket) => {
    const error = new GatewayError('method_not_allowed', 'This gateway opens no tunnels.', { headers: closing });
    refuseConnection(error, socket, runtime, request.method);
  });
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: Socket) =>
    onHandshakeFailure(error, socket, runtime),
  );
  server.on('drop', () => runtime.metrics.connectionRefused('overloaded'));
}

interface ParserError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly reason?: string;
}

const notHttp: ParserError = { code: 'bad_request', message: 'The request is not valid HTTP/1.1.' };
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

/** Refuses the open request of this socket; without one writes the response on the bare socket. */
function refuseConnection(error: GatewayError, socket: Socket, runtime: Runtime, method?: string): void {
  const context = [...runtime.open].findLast(({ request }) => request.socket === socket);
  if (context !== undefined) {
    void refuse(error, context, runtime);
    return;
  }
  const id = recordConnection(runtime, socket, { reason: error.code, status: error.status, method });
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const body = problem(error, id);
  socket.end(
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}\r\nContent-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX-Request-Id: ${id}\r\nConnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}

/** Records a refused client certificate; other failed handshakes are only counted. */
function onHandshakeFailure(error: NodeJS.ErrnoException, socket: Socket, runtime: Runtime): void {
  const problem = socket instanceof TLSSocket ? socket.authorizationError : undefined;
  const aboutCertificate = Boolean(problem) || /CERTIFICATE|CERT_/.test(error.code ?? '');
  if (aboutCertificate) recordConnection(runtime, socket, { reason: 'invalid_certificate', status: undefined });
  else runtime.metrics.connectionRefused('tls_handshake');
  socket.destroy();
}

/** Yields the id of the record. */
function recordConnection(
  runtime: Runtime,
  socket: Socket,
  refused: { readonly reason: string; readonly status: number | undefined; readonly method?: string | undefined },
): string {
  const id = randomUUID();
  runtime.metrics.connectionRefused(refused.reason);
  const event = connectionEvent({
    id,
    address: plainAddress(runtime.peerAddress(socket)),
    ...refused,
    policy: runtime.snapshot.hash,
    nowMs: runtime.now(),
  });
  runtime.audit
    .write(event)
    .catch((cause: unknown) => runtime.log.error({ err: cause }, 'a refused connection could not be recorded'));
  return id;
}
