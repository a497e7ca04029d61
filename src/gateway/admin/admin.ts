// Admin application: metrics, liveness, readiness and status, on a listener of its own and without secrets.
import fastify, { type FastifyInstance, type onRequestHookHandler } from 'fastify';
import { limitConnections } from '../../http/connection/connection-limit.ts';
import { isLocal, parseListenAddress } from '../../http/connection/listen-address.ts';
import { createPeerAddressReader } from '../../http/connection/listener.ts';
import { isPrivateHost } from '../../http/host.ts';
import { ownHeaders } from '../../http/problem.ts';
import { keySetPath, publicDocumentHeaders } from '../../http/well-known.ts';
import type { Log } from '../../log.ts';
import { fastifyOptions } from '../request-log.ts';

/** Source of the answers of the admin listener. */
export interface AdminSource {
  readiness(): Promise<Readiness>;
  status(): Promise<object>;
  /** The keys of assertions, as JSON; undefined where no upstream has an assertion. */
  keySet(): Promise<string | undefined>;
  /** As OpenMetrics where `accept` wants it and traces are named. */
  metrics(accept: string | undefined): Promise<Exposition>;
  isServedHost(host: string): boolean;
  connectionRefused(reason: string): void;
}

/** The text that Prometheus reads. */
export interface Exposition {
  readonly contentType: string;
  readonly text: string;
}

/** The readiness for requests. */
export interface Readiness {
  readonly ready: boolean;
  /** Sentences on what speaks against it. */
  readonly reasons: readonly string[];
}

/** Makes the console's application, with the modules that only it needs. Called for its first request. */
export type OpenConsole = () => Promise<FastifyInstance>;

/** Options of `createAdmin`. */
export interface AdminOptions {
  readonly source: AdminSource;
  readonly listen: string;
  readonly log: Log;
  /** Has the paths that are not the admin application's own; undefined for none. */
  readonly openConsole?: OpenConsole | undefined;
}

const receiveTimeoutMs = 10_000;
/** Few, so that they fit into the descriptors that are kept back from the public listener. */
const connectionLimits = { all: 32, perAddress: 16 };

/** Builds the application; it does not listen yet. */
export function createAdmin({ source, listen, log, openConsole }: AdminOptions): FastifyInstance {
  const app = fastify({
    ...fastifyOptions(log),
    forceCloseConnections: true,
    requestTimeout: receiveTimeoutMs,
    http: { headersTimeout: receiveTimeoutMs, connectionsCheckingInterval: 1000 },
  });
  app.server.maxConnections = connectionLimits.all;
  limitConnections(app.server, {
    peerAddress: createPeerAddressReader(listen),
    isExempt: () => false,
    limit: () => connectionLimits.perAddress,
    refused: () => source.connectionRefused('connections_per_address'),
  });
  app.addHook('onRequest', async (_request, reply) => void reply.headers(ownHeaders));
  app.addHook('onRequest', checkHost(listen, source));
  // Nobody is asked who it is: loopback only.
  if (openConsole !== undefined && isLocal(parseListenAddress(listen))) mountConsole(app, openConsole);
  app.get('/livez', (_request, reply) => reply.type('text/plain').send('ok\n'));
  app.get('/readyz', async (_request, reply) => {
    const { ready, reasons } = await source.readiness();
    const lines = [ready ? 'ready' : 'not ready', ...reasons.map((reason) => `- ${reason}`)];
    return reply
      .code(ready ? 200 : 503)
      .type('text/plain')
      .send(lines.map((line) => `${line}\n`).join(''));
  });
  app.get('/status', async (_request, reply) => reply.send(await source.status()));
  app.get(keySetPath, async (_request, reply) => {
    const keys = await source.keySet();
    if (keys === undefined) return reply.code(404).type('text/plain').send('no upstream has an assertion\n');
    return reply.headers(publicDocumentHeaders).send(keys);
  });
  app.get('/metrics', async (request, reply) => {
    const { contentType, text } = await source.metrics(request.headers.accept);
    return reply.header('vary', 'accept').type(contentType).send(text);
  });
  app.setNotFoundHandler((_request, reply) => reply.code(404).type('text/plain').send('nothing here\n'));
  app.setErrorHandler((error, request, reply) => {
    request.log.error({ err: error }, 'the admin listener failed on a request');
    return reply.code(503).type('text/plain').send('not available right now\n');
  });
  return app;
}

/** Gives requests for other paths to the console's application, which is made for the first of them. */
function mountConsole(app: FastifyInstance, openConsole: OpenConsole): void {
  let opening: Promise<FastifyInstance> | undefined;
  app.addHook('onRequest', async (request, reply) => {
    if (!request.is404) return;
    opening ??= openConsole().catch((cause: unknown) => {
      opening = undefined;
      throw cause;
    });
    const { routing } = await opening;
    reply.hijack();
    routing(request.raw, reply.raw);
  });
  app.addHook('onClose', async () => void (await (await opening?.catch(() => undefined))?.close()));
}

/** Answers 421 to a Host that a page of somebody else may have bound to this address (DNS rebinding). */
function checkHost(listen: string, source: AdminSource): onRequestHookHandler {
  const address = parseListenAddress(listen);
  const own = address.kind === 'unix' ? undefined : address.host.toLowerCase();
  return (request, reply, done) => {
    const { host = '' } = request.headers;
    const isOwn = host.toLowerCase().replace(/:\d+$/, '') === own;
    if (isOwn || isPrivateHost(host) || source.isServedHost(host)) return done();
    request.log.warn({ host }, 'a request to the admin listener named another host');
    reply
      .code(421)
      .type('text/plain')
      .send('this host name is not served here; use an address, or add it to server.allowedHosts\n');
  };
}
