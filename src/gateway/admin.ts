// Admin application: metrics, liveness, readiness and status for operators. No secrets, no policy, never the public socket.
import fastify, { type FastifyInstance } from 'fastify';
import { keySetPath, publicDocumentHeaders } from '../http/well-known.ts';
import type { Log } from '../log.ts';
import { logOptions } from './request-log.ts';

export interface AdminOptions {
  readonly log: Log;
  metricsContentType: string;
  scrape(): Promise<string>;
  /** Why the gateway is not ready, in sentences; empty when it is. */
  notReady(): readonly string[];
  /** What `/status` tells. */
  status(): Record<string, unknown>;
  /** The key set of the gateway's assertions; undefined when it makes none. */
  publishedKeys(): string | undefined;
}

/** Builds the application; it does not listen yet. */
export function createAdmin(options: AdminOptions): FastifyInstance {
  const app = fastify({
    ...logOptions(options.log),
    forceCloseConnections: true,
  });
  app.get('/livez', (_request, reply) => reply.type('text/plain').send('ok\n'));
  app.get('/readyz', (_request, reply) => {
    const reasons = options.notReady();
    if (reasons.length === 0) return reply.type('text/plain').send('ready\n');
    return reply
      .code(503)
      .type('text/plain')
      .send(`not ready\n${reasons.map((reason) => `- ${reason}\n`).join('')}`);
  });
  app.get('/status', (_request, reply) => reply.send(options.status()));
  app.get(keySetPath, (_request, reply) => {
    const keys = options.publishedKeys();
    if (keys === undefined) return reply.code(404).type('text/plain').send('no upstream has an assertion\n');
    return reply.headers(publicDocumentHeaders).send(keys);
  });
  app.get('/metrics', async (_request, reply) => reply.type(options.metricsContentType).send(await options.scrape()));
  app.setNotFoundHandler((_request, reply) => reply.code(404).type('text/plain').send('nothing here\n'));
  app.setErrorHandler((error, request, reply) => {
    request.log.error({ err: error }, 'the admin listener failed on a request');
    return reply.code(503).type('text/plain').send('not available right now\n');
  });
  return app;
}
