// Fastify at the door: it opens and closes the listener, and every request is taken before it looks at it, so that no answer of its own ever leaves.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import fastify, { type FastifyInstance } from 'fastify';
import { type ErrorCode, GatewayError } from '../errors.ts';
import { problem } from '../gateway/request/error-response.ts';

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
