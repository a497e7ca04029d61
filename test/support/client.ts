// HTTP(S) client of the tests: connections kept alive, one certificate, and answers as they came over the wire.
import { once } from 'node:events';
import { Agent as HttpAgent, type IncomingHttpHeaders, type IncomingMessage, request as sendPlainly } from 'node:http';
import { Agent as HttpsAgent, request as sendSecurely } from 'node:https';
import { TLSSocket } from 'node:tls';
import type { FastifyInstance } from 'fastify';
import type { IssuedCertificate } from '../../src/pki/authority.ts';

export interface ClientRequest {
  readonly method?: string;
  readonly path?: string;
  /** Over `Host: mcp.example.com`; a list sends a header several times. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string | Buffer;
}

export interface ClientAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The `x-request-id`, which is the id of the audit records. */
  readonly id: string;
  /** The client's port of the connection: equal ports, same connection. */
  readonly connection: number;
  /** The connection went on with an earlier TLS session. */
  readonly resumed: boolean;
}

export interface TestClient {
  send(request: ClientRequest): Promise<ClientAnswer>;
  /** A call of a tool on an MCP route: POST with the headers that MCP asks for. `body` may be a message or raw bytes. */
  post(body: unknown, request?: ClientRequest): Promise<ClientAnswer>;
  close(): void;
}

export interface ClientOptions {
  readonly port: number;
  /** Of the server certificate; without it plain HTTP. */
  readonly ca?: string;
  readonly certificate?: IssuedCertificate | undefined;
  /** Connections at once; default 1, so that requests follow each other on the same one. */
  readonly connections?: number;
  readonly tlsVersion?: 'TLSv1.2' | 'TLSv1.3';
  /** The loopback address to come from; default 127.0.0.1. */
  readonly localAddress?: string;
}

export const publicHost = 'mcp.example.com';

export function createClient(options: ClientOptions): TestClient {
  const { port, ca, certificate, tlsVersion, localAddress, connections = 1 } = options;
  const pool = { keepAlive: true, maxSockets: connections };
  const agent =
    ca === undefined
      ? new HttpAgent(pool)
      : new HttpsAgent({
          ...pool,
          servername: publicHost,
          ca,
          ...(tlsVersion !== undefined && { minVersion: tlsVersion, maxVersion: tlsVersion }),
          ...(certificate !== undefined && { cert: certificate.certificatePem, key: certificate.keyPem }),
        });
  const sendRequest = ca === undefined ? sendPlainly : sendSecurely;
  async function send({ method = 'GET', path = '/', headers = {}, body }: ClientRequest): Promise<ClientAnswer> {
    const outgoing = sendRequest({
      agent,
      host: '127.0.0.1',
      port,
      method,
      path,
      ...(localAddress !== undefined && { localAddress }),
      headers: {
        host: publicHost,
        ...(body !== undefined && !('transfer-encoding' in headers) && { 'content-length': Buffer.byteLength(body) }),
        ...(headers as Record<string, string | string[]>),
      },
    });
    outgoing.end(body);
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    const { localPort } = response.socket;
    const resumed = response.socket instanceof TLSSocket && response.socket.isSessionReused();
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk);
    const id = response.headers['x-request-id'];
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      text: Buffer.concat(chunks).toString(),
      id: typeof id === 'string' ? id : '',
      connection: localPort ?? 0,
      resumed,
    };
  }
  return { send, post: (message, request) => send(messagePost(message, request)), close: () => agent.destroy() };
}

/** A client without sockets: hands its requests to the application itself. Paths are normalised on the way, and connections are none. */
export function createInjectingClient(app: FastifyInstance): TestClient {
  async function send({ method = 'GET', path = '/', headers = {}, body }: ClientRequest): Promise<ClientAnswer> {
    const answer = await app.inject({
      method: method as 'GET',
      url: path,
      headers: { host: publicHost, ...(headers as Record<string, string | string[]>) },
      ...(body !== undefined && { payload: body }),
    });
    const id = answer.headers['x-request-id'];
    return {
      status: answer.statusCode,
      headers: answer.headers as IncomingHttpHeaders,
      text: answer.payload,
      id: typeof id === 'string' ? id : '',
      connection: 0,
      resumed: false,
    };
  }
  return { send, post: (message, request) => send(messagePost(message, request)), close: () => {} };
}

function messagePost(message: unknown, request: ClientRequest = {}): ClientRequest {
  return {
    method: 'POST',
    path: '/mcp',
    body: typeof message === 'string' || Buffer.isBuffer(message) ? message : JSON.stringify(message),
    ...request,
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...request.headers,
    },
  };
}

/** A `tools/call` message. */
export function toolCall(name: string, args: unknown = {}, id: string | number = 1): object {
  return { jsonrpc: '2.0', id, method: 'tools/call', params: { name, arguments: args } };
}
