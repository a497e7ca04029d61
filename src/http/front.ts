// Fastify at the door: every request is taken before Fastify looks at it, and no answer of its own ever leaves.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { type ErrorCode, GatewayError } from '../errors.ts';
import { problem } from './respond.ts';

/** What comes next on a connection that broke cannot be told from what came before. */
const closing = { connection: 'close' };

export interface FrontOptions {
  /** Creates the listening server around Fastify's request listener. */
  createServer(listener: (request: IncomingMessage, response: ServerResponse) => void): Server;
  /** The path of one request. Never rejects. */
  handle(request: IncomingMessage, response: ServerResponse): void;
  /** What the framework refused before `handle` could see it. Never rejects. */
  refuse(error: GatewayError, request: IncomingMessage, response: ServerResponse): void;
  /**
   * A head that could not be parsed, or a request that broke after its head. Returns true when an open exchange of this
   * socket took the error over; else the raw answer is written here. `method` is known of a tunnel that was asked for.
   */
  connectionBroke(error: GatewayError, socket: Socket, method?: string): boolean;
}

/** Builds the door; it does not listen yet. */
export async function createFront(options: FrontOptions): Promise<FastifyInstance> {
  const app = fastify({
    serverFactory: (listener) => withRawEvents(options.createServer(listener), listener, options),
    logger: false,
    return503OnClosing: false,
    forceCloseConnections: false,
    clientErrorHandler: (error, socket) => answerBrokenConnection(error, socket, options),
    frameworkErrors: (error, request, reply) => refuseFramework(error, request, reply, options),
  });
  // Routes, methods, content types and bodies are for `handle` to judge; Fastify never gets as far as its own.
  app.addHook('onRequest', (request, reply) => {
    reply.hijack();
    options.handle(request.raw, reply.raw);
  });
  await app.ready();
  return app;
}

function withRawEvents(
  server: Server,
  listener: (request: IncomingMessage, response: ServerResponse) => void,
  options: FrontOptions,
): Server {
  // Without these Node would answer 100 or 417 before the credentials were looked at, and drop CONNECT without a record.
  server.on('checkContinue', listener);
  server.on('checkExpectation', listener);
  server.on('connect', (request: IncomingMessage, socket: Socket) => {
    const error = new GatewayError('method_not_allowed', 'This gateway opens no tunnels.', { headers: closing });
    if (!options.connectionBroke(error, socket, request.method)) writeRaw(socket, error);
  });
  return server;
}

function refuseFramework(error: unknown, request: FastifyRequest, reply: FastifyReply, options: FrontOptions): void {
  reply.hijack();
  const { statusCode } = error as { statusCode?: unknown };
  const refused =
    typeof statusCode === 'number' && statusCode < 500
      ? new GatewayError('bad_path', 'The request target is not in plain form.', { cause: error })
      : new GatewayError('internal_error', 'The gateway failed on this request. Its log names the cause.', {
          cause: error,
        });
  options.refuse(refused, request.raw, reply.raw);
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
