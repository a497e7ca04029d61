// Admin application: metrics, liveness, readiness and status, on a listener of its own and without secrets.
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type onRequestHookHandler,
} from 'fastify';
import { adminTlsOf } from '../../config/admin-tls.ts';
import type { LoadedConfig } from '../../config/load.ts';
import type { Config } from '../../config/schema/config.ts';
import { limitConnections, limitHandshakes } from '../../http/connection/connection-limit.ts';
import { isLocal, parseListenAddress } from '../../http/connection/listen-address.ts';
import {
  createListener,
  createPeerAddressReader,
  type ListenerConfig,
  prepareListener,
} from '../../http/connection/listener.ts';
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
  /** The section `admin` in force. */
  settings(): Config['admin'];
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

/** The application of the console. */
export interface ConsoleApplication extends FastifyInstance {
  /** Lets a request of another application pass, answers it, or throws an error with its status. */
  readonly authorize: (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;
}

/** Makes the console's application, with the modules that only it needs. Called for its first request. */
export type OpenConsole = () => Promise<ConsoleApplication>;

/** Options of `createAdmin`. */
export interface AdminOptions {
  readonly source: AdminSource;
  /** The first configuration: address and TLS. */
  readonly loaded: Pick<LoadedConfig, 'config' | 'files'>;
  readonly log: Log;
  /** Has the paths that are not the admin application's own; undefined for none. */
  readonly openConsole?: OpenConsole | undefined;
}

const receiveTimeoutMs = 10_000;
const maxHeaderBytes = 16 * 1024;
const notServed =
  'the console is served on loopback only, unless admin.tls and admin.authenticate say who may see it here\n';
/** Few, so that they fit into the descriptors that are kept back from the public listener. */
const connectionLimits = { all: 32, perAddress: 16 };

/** With `protected`, these answer whom the console answers. */
const protectedPaths = ['/metrics', '/status'];

/** Prepares the change of the listener to a configuration; throws where TLS cannot use it. */
export function prepareAdminListener({ config, files }: AdminOptions['loaded']): (server: Server) => void {
  return prepareListener(listenerOf(config), files);
}

function listenerOf(config: Config): ListenerConfig {
  const limits = { headerBytes: maxHeaderBytes, connections: connectionLimits.all, receiveTimeout: receiveTimeoutMs };
  return { tls: adminTlsOf(config), limits };
}

/** Builds the application; it does not listen yet. */
export function createAdmin({ source, loaded, log, openConsole }: AdminOptions): FastifyInstance {
  const { config, files } = loaded;
  const { listen } = config.admin;
  const app = fastify({
    ...fastifyOptions(log),
    frameworkErrors: (error, _request, reply) => refuseAddress(error, ownHeaders, reply),
    forceCloseConnections: true,
    serverFactory(handler) {
      const server = createListener(listenerOf(config), files, handler, () => false);
      server.requestTimeout = receiveTimeoutMs;
      return server;
    },
  });
  if (config.admin.tls !== undefined) {
    limitHandshakes(app.server, () => receiveTimeoutMs);
    app.server.on('tlsClientError', (_error: Error, socket: Socket) => {
      source.connectionRefused('tls_handshake');
      socket.destroy();
    });
  }
  limitConnections(app.server, {
    peerAddress: createPeerAddressReader(listen),
    isExempt: () => false,
    limit: () => connectionLimits.perAddress,
    refused: () => source.connectionRefused('connections_per_address'),
  });
  app.addHook('onRequest', async (_request, reply) => void reply.headers(ownHeaders));
  app.addHook('onRequest', checkHost(source));
  mountConsole(app, openConsole, source);
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
  app.setErrorHandler((error: Error & { readonly statusCode?: number }, request, reply) => {
    const { message, statusCode = 500 } = error;
    if (statusCode < 500) return reply.code(statusCode).type('text/plain').send(`${message}\n`);
    request.log.error({ err: error }, 'the admin listener failed on a request');
    return reply.code(503).type('text/plain').send('not available right now\n');
  });
  return app;
}

/** Answers an address that no route or hook sees, such as `/%zz`. */
export function refuseAddress(
  { statusCode = 400 }: { readonly statusCode?: number | undefined },
  headers: Readonly<Record<string, string>>,
  reply: FastifyReply,
): void {
  void reply.code(statusCode).headers(headers).type('text/plain').send('this address cannot be read\n');
}

/** Gives requests for other paths to the console's application, which is made for the first of them. */
function mountConsole(app: FastifyInstance, open: OpenConsole | undefined, source: AdminSource): void {
  let opening: Promise<ConsoleApplication> | undefined;
  app.addHook('onRequest', async (request, reply) => {
    const { authenticate, listen, metrics } = source.settings();
    const isProtected = metrics === 'protected' && protectedPaths.includes(request.routeOptions.url ?? '');
    if (!isProtected && (!request.is404 || open === undefined)) return undefined;
    if (open === undefined || (authenticate === undefined && !isLocal(parseListenAddress(listen)))) {
      return reply.code(403).type('text/plain').send(notServed);
    }
    opening ??= open().catch((cause: unknown) => {
      opening = undefined;
      throw cause;
    });
    const { authorize, routing } = await opening;
    if (isProtected) return authorize(request, reply);
    reply.hijack();
    return routing(request.raw, reply.raw);
  });
  app.addHook('onClose', async () => void (await (await opening?.catch(() => undefined))?.close()));
}

/** Answers 421 to a Host that a page of somebody else may have bound to this address (DNS rebinding). */
function checkHost(source: AdminSource): onRequestHookHandler {
  return (request, reply, done) => {
    const { host = '' } = request.headers;
    const { listen, publicUrl } = source.settings();
    const address = parseListenAddress(listen);
    const name = host.toLowerCase().replace(/:\d+$/, '');
    const isOwn =
      (address.kind === 'tcp' && name === address.host.toLowerCase()) ||
      (publicUrl !== undefined && name === new URL(publicUrl).hostname);
    if (isOwn || isPrivateHost(host) || source.isServedHost(host)) return done();
    request.log.warn({ host }, 'a request to the admin listener named another host');
    reply
      .code(421)
      .type('text/plain')
      .send('this host name is not served here; use an address, or add it to server.allowedHosts\n');
  };
}
