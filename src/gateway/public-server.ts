// The door of the running gateway: requests are taken, and connections that never become a request have their record and their count.
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import fastify, { type FastifyInstance } from 'fastify';
import type { LoadedConfig } from '../config/load.ts';
import { type ErrorCode, GatewayError } from '../errors.ts';
import { createListener, peerAddress } from '../http/listener.ts';
import { plainAddress } from '../ip-ranges.ts';
import { connectionEvent } from './request/audit-events.ts';
import { problem } from './request/error-response.ts';
import { refuse, takeRequest } from './request/pipeline.ts';
import type { Runtime } from './runtime.ts';

/** Opens the door, which does not listen yet: requests go to `takeRequest`, what never becomes one is recorded and counted here. */
export async function openPublicListener(
  runtime: Runtime,
  { config, files }: LoadedConfig,
): Promise<{ app: FastifyInstance; server: Server }> {
  const app = await createFront({
    createServer: (listener) => createListener(config.server, files, listener),
    handle: (request, response) => takeRequest(request, response, runtime),
    connectionBroke(error, socket, method) {
      const exchange = [...runtime.open].findLast(({ request }) => request.socket === socket);
      if (exchange === undefined) {
        recordConnection(runtime, socket, error.code, error.status, method);
        return false;
      }
      void refuse(error, exchange, runtime);
      return true;
    },
  });
  const server = app.server as Server;
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: Socket) =>
    onHandshakeFailure(runtime, error, socket),
  );
  server.on('drop', () => runtime.metrics.connectionRefused('overloaded'));
  return { app, server };
}

/** A refused client certificate has its record; scanners and broken handshakes only count. */
function onHandshakeFailure(runtime: Runtime, error: NodeJS.ErrnoException, socket: Socket): void {
  const problem = socket instanceof TLSSocket ? socket.authorizationError : undefined;
  const aboutCertificate = Boolean(problem) || /CERTIFICATE|CERT_/.test(error.code ?? '');
  if (aboutCertificate) recordConnection(runtime, socket, 'invalid_certificate', undefined);
  else runtime.metrics.connectionRefused('tls_handshake');
  socket.destroy();
}

function recordConnection(
  runtime: Runtime,
  socket: Socket,
  reason: string,
  status: number | undefined,
  method?: string,
): void {
  runtime.metrics.connectionRefused(reason);
  const event = connectionEvent({
    id: randomUUID(),
    address: plainAddress(peerAddress(socket)),
    method,
    reason,
    status,
    policy: runtime.snapshot.hash,
    nowMs: runtime.now(),
  });
  runtime.audit
    .write(event)
    .catch((cause: unknown) => runtime.log.error({ err: cause }, 'a refused connection could not be recorded'));
}

/** What comes next on a connection that broke cannot be told from what came before. */
const closing = { connection: 'close' };

export interface FrontOptions {
  /** Creates the server that will listen. */
  createServer(listener: (request: IncomingMessage, response: ServerResponse) => void): Server;
  /** The path of one request. Never rejects. */
  handle(request: IncomingMessage, response: ServerResponse): void;
  /**
   * A head that could not be parsed, or a request that broke after its head. Returns true when an open exchange of this
   * socket took the error over; else the raw answer is written here. `method` is known of a tunnel that was asked for.
   */
  connectionBroke(error: GatewayError, socket: Socket, method?: string): boolean;
}

/** Builds the door; it does not listen yet. */
export async function createFront(options: FrontOptions): Promise<FastifyInstance> {
  const app = fastify({
    // Routes, methods, content types and bodies are for `handle` to judge: finding a route of Fastify's would cost as much as finding ours.
    serverFactory: () => withRawEvents(options.createServer(options.handle), options),
    logger: false,
    return503OnClosing: false,
    forceCloseConnections: false,
    clientErrorHandler: (error, socket) => answerBrokenConnection(error, socket, options),
  });
  await app.ready();
  return app;
}

function withRawEvents(server: Server, options: FrontOptions): Server {
  // Without these Node would answer 100 or 417 before the credentials were looked at, and drop CONNECT without a record.
  server.on('checkContinue', options.handle);
  server.on('checkExpectation', options.handle);
  server.on('connect', (request: IncomingMessage, socket: Socket) => {
    const error = new GatewayError('method_not_allowed', 'This gateway opens no tunnels.', { headers: closing });
    if (!options.connectionBroke(error, socket, request.method)) writeRaw(socket, error);
  });
  return server;
}

function answerBrokenConnection(error: Error & { code?: string }, socket: Socket, options: FrontOptions): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) {
    socket.destroy();
    return;
  }
  const refused = new GatewayError(codeOfParserError(error.code), messageOfParserError(error.code), {
    cause: error,
    headers: closing,
  });
  if (!options.connectionBroke(refused, socket)) writeRaw(socket, refused);
}

function codeOfParserError(code: string | undefined): ErrorCode {
  if (code === 'HPE_HEADER_OVERFLOW') return 'headers_too_large';
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'request_timeout';
  return 'bad_request';
}

function messageOfParserError(code: string | undefined): string {
  if (code === 'HPE_HEADER_OVERFLOW') return 'The request head is larger than this gateway takes.';
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'The request took too long to arrive.';
  return 'The request is not valid HTTP/1.1.';
}

function writeRaw(socket: Socket, error: GatewayError): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const body = problem(error);
  socket.end(
    `HTTP/1.1 ${error.status} Refused\r\nContent-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `Cache-Control: no-store\r\nConnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}
