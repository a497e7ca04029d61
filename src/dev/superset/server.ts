// HTTP server of the demo Superset on loopback: stateless streamable HTTP at /mcp, REST below /api.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type LoopbackServer, listenOnLoopback } from '../loopback.ts';
import { loadOptionalPackage } from '../optional-package.ts';
import { createCatalog } from './catalog.ts';
import { createMcpServer, type SdkModules, type Services } from './mcp-server.ts';
import { createQueryEngine } from './query-engine.ts';
import { answerRest } from './rest.ts';
import type { Caller } from './tool.ts';

/** Options of `startDemoSuperset`. */
export interface DemoSupersetOptions {
  /** TCP port; 0, the default, takes a free one. */
  readonly port?: number;
  /** Answers with one JSON object instead of an event stream. Default: the stream, as Superset. */
  readonly jsonResponses?: boolean;
  readonly now?: () => number;
}

/** A running demo Superset. */
export interface DemoSuperset {
  /** Origin of the server. The MCP endpoint is `/mcp` below it. */
  readonly url: string;
  close(): Promise<void>;
}

type TransportModule = typeof import('@modelcontextprotocol/sdk/server/streamableHttp.js');
type RequestServices = Omit<Services, 'caller'>;

/** Starts the server on 127.0.0.1. Rejects when the MCP SDK is not installed or the port is taken (EADDRINUSE). */
export async function startDemoSuperset(options: DemoSupersetOptions = {}): Promise<DemoSuperset> {
  const [server, types, transport] = await loadOptionalPackage('@modelcontextprotocol/sdk', () =>
    Promise.all([
      import('@modelcontextprotocol/sdk/server/index.js'),
      import('@modelcontextprotocol/sdk/types.js'),
      import('@modelcontextprotocol/sdk/server/streamableHttp.js'),
    ]),
  );
  const engine = createQueryEngine();
  const catalog = createCatalog();
  const now = options.now ?? Date.now;
  const sdk = { server, types };
  const listener: LoopbackServer = await listenOnLoopback(options.port ?? 0, (request, response) => {
    const services = { catalog, engine, now, baseUrl: listener.origin };
    void answer({ sdk, transport, services, json: options.jsonResponses === true }, request, response).catch(() => {
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  });
  return {
    url: listener.origin,
    async close() {
      await listener.close();
      await engine.close();
    },
  };
}

interface Handling {
  readonly sdk: SdkModules;
  readonly transport: TransportModule;
  readonly services: RequestServices;
  readonly json: boolean;
}

async function answer(handling: Handling, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = (request.url ?? '').split('?', 1)[0] ?? '';
  const services = { ...handling.services, caller: callerOf(request) };
  if (path === '/mcp') return answerMcp(handling, services, request, response);
  if (path === '/health') return void response.writeHead(200, { 'content-type': 'text/plain' }).end('OK');
  if (path.startsWith('/api/')) return answerRest(request, response, path, services);
  response.writeHead(404, { 'content-type': 'text/plain' }).end('not found\n');
}

/** Answers with a new server and transport. Nothing is kept between requests, and there is no session id. */
async function answerMcp(
  { sdk, transport, json }: Handling,
  services: Services,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== 'POST' && request.method !== 'DELETE') {
    response.writeHead(405, { allow: 'POST, DELETE', 'content-type': 'text/plain' }).end('method not allowed\n');
    return;
  }
  const server = createMcpServer(sdk, services);
  const connection = new transport.StreamableHTTPServerTransport({ enableJsonResponse: json });
  response.on('close', () => void server.close());
  // The SDK's transport declares optional members without `| undefined`, against exactOptionalPropertyTypes.
  await server.connect(connection as Parameters<typeof server.connect>[0]);
  await connection.handleRequest(request, response);
}

function callerOf({ headers }: IncomingMessage): Caller {
  const one = (name: string): string | undefined => {
    const value = headers[name];
    return typeof value === 'string' ? value : undefined;
  };
  return {
    subject: one('x-forwarded-user'),
    clientId: one('x-forwarded-client-id'),
    scopes: one('x-forwarded-scopes'),
    method: one('x-forwarded-auth-method'),
    issuer: one('x-forwarded-issuer'),
  };
}
