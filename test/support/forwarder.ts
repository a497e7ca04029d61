// Plain server that does nothing but forward, and a raw client: the upstream room on real sockets without the rest of the gateway.
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, request as sendRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Caller } from '../../src/authn/caller/principal.ts';
import type { Config } from '../../src/config/schema/config.ts';
import { configSchema } from '../../src/config/schema/config.ts';
import { GatewayError } from '../../src/errors.ts';
import { freeBuffer } from '../../src/http/body/free.ts';
import { createNamedFiles } from '../../src/named-files.ts';
import { type ForwardOptions, type ForwardResult, forward } from '../../src/upstream/forward.ts';
import { compileRequestHeaders } from '../../src/upstream/request-headers.ts';
import { createUpstream, type Upstream } from '../../src/upstream/upstream.ts';

/** A configuration with one upstream `up`; `upstream`, `mcp`, `route` and `more` are laid over it. */
export function configOf(
  url: string,
  options: { readonly upstream?: object; readonly mcp?: object; readonly route?: object; readonly more?: object } = {},
): Config {
  return configSchema.parse({
    version: 1,
    server: { listen: '127.0.0.1:8443', publicUrl: 'https://mcp.example.com' },
    upstreams: { up: { url, ...options.upstream } },
    routes: [
      {
        path: '/mcp',
        upstream: 'up',
        authenticate: 'none',
        ...(options.mcp && { mcp: options.mcp }),
        ...options.route,
      },
    ],
    audit: { sinks: [{ type: 'stdout' }] },
    ...options.more,
  });
}

export const agentCaller: Caller = {
  principal: {
    kind: 'oauth',
    authenticator: 'corp-oauth',
    issuer: 'https://example.auth0.com/',
    subject: 'agent@clients',
    clientId: 'ai_agent_prod',
    credentialId: 'jti-1',
    scopes: ['dashboards:read', 'queries:execute'],
    claims: { tenant: 'acme' },
    issuedAt: undefined,
    expiresAt: undefined,
    confirmation: undefined,
  },
  certificate: undefined,
  method: 'oauth',
  scopes: ['dashboards:read', 'queries:execute'],
  senderConstrained: false,
  authenticatedBy: ['corp-oauth'],
  responseHeaders: undefined,
  subjectKey: 'subject',
  clientKey: 'client',
};

export interface Forwarder {
  readonly port: number;
  readonly upstream: Upstream;
  /** What `forward` gave or threw, in order of their ends. */
  readonly results: readonly (ForwardResult | GatewayError)[];
  readonly settled: (count: number) => Promise<void>;
  /** Cuts every client connection, as vanished clients would. */
  readonly dropClients: () => void;
  readonly close: () => Promise<void>;
}

/** Forwards every request to the configuration's upstream `up` as `caller`, and frees its body as the gateway does; an error is answered with its status and code. `closeFirst` has the client gone before. */
export async function startForwarder(
  config: Config,
  options: ForwardOptions & {
    readonly caller?: Caller;
    readonly files?: ReadonlyMap<string, Buffer>;
    readonly closeFirst?: boolean;
  } = {},
): Promise<Forwarder> {
  const upstreamConfig = config.upstreams.up!;
  const upstream = createUpstream('up', upstreamConfig, createNamedFiles(options.files ?? new Map()), Date.now);
  const shape = compileRequestHeaders(config, upstreamConfig, config.routes[0]!);
  const results: (ForwardResult | GatewayError)[] = [];
  const waiting: { readonly count: number; readonly resolve: () => void }[] = [];
  const settle = (result: ForwardResult | GatewayError): void => {
    results.push(result);
    for (const { count, resolve } of waiting) if (results.length >= count) resolve();
  };
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const headers = shape({
      rawHeaders: request.rawHeaders,
      caller: options.caller ?? agentCaller,
      session: undefined,
      authorization: undefined,
      requestId: 'request-1',
      clientAddress: '192.0.2.7',
    });
    const { method = '', url = '' } = request;
    if (options.closeFirst) response.destroy();
    const body = Buffer.concat(chunks);
    try {
      const request = { method, path: url, publicTarget: url, headers, body };
      const result = await forward(upstream, request, response, options);
      if (result.bodyWritten) freeBuffer(body);
      settle(result);
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      response.writeHead(error.status, { 'x-code': error.code, 'x-message': error.message });
      response.end();
      settle(error);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    upstream,
    results,
    settled: (count) =>
      results.length >= count ? Promise.resolve() : new Promise((resolve) => waiting.push({ count, resolve })),
    dropClients: () => server.closeAllConnections(),
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
      await upstream.close();
    },
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly trailers: NodeJS.Dict<string>;
  readonly body: Buffer;
  /** The body ended as its framing promised. */
  readonly complete: boolean;
}

/** Sends one request on a connection of its own and collects what comes, also when the answer is cut. */
export async function ask(
  port: number,
  options: { method?: string; path?: string; headers?: string[]; body?: string | Buffer } = {},
): Promise<Answer> {
  const response = await open(port, options);
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of response) chunks.push(chunk);
  } catch {
    // A cut answer: `complete` says so.
  }
  const { statusCode = 0, headers, rawHeaders, trailers, complete } = response;
  return { status: statusCode, headers, rawHeaders, trailers, body: Buffer.concat(chunks), complete };
}

/** As `ask`, but hands over the answer as soon as its head is there. */
export function open(
  port: number,
  options: { method?: string; path?: string; headers?: string[]; body?: string | Buffer } = {},
): Promise<IncomingMessage> {
  const { method = 'GET', path = '/mcp', headers = [], body } = options;
  const length = body === undefined ? [] : ['content-length', String(Buffer.byteLength(body))];
  return new Promise((resolve, reject) => {
    const outgoing = sendRequest({
      host: '127.0.0.1',
      port,
      method,
      path,
      agent: false,
      headers: ['host', 'mcp.example.com', ...headers, ...length] as never,
    });
    outgoing.on('response', resolve);
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
