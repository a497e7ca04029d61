// Fastify options of both applications, and their request log: lines of the operator's log with the id of the request.
import { randomUUID } from 'node:crypto';
import fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import { type Log, requestIdLabel } from '../log.ts';

/**
 * Fastify options: `request.log` writes to `log` with the id of the request, and Fastify itself logs no requests. No route has a schema, so that the
 * compilers of schemas, a tenth of the modules, are not loaded.
 */
export function fastifyOptions(log: Log) {
  return {
    schemaController: { compilersFactory: { buildValidator: refuseSchema, buildSerializer: refuseSchema } },
    loggerInstance: log as FastifyBaseLogger,
    logController: new fastify.LogController({ disableRequestLogging: true, requestIdLogLabel: requestIdLabel(log) }),
    genReqId: () => randomUUID(),
  };
}

function refuseSchema(): never {
  throw new Error('a route has a schema, and there is no compiler for it');
}

/** Makes the log of a request when its first line is written. Nearly every request ends without one, and a child of pino costs more than routing. */
export function makeRequestLogsLazy({ log }: FastifyInstance): void {
  const child = log.child.bind(log);
  log.child = (...of) =>
    new Proxy({ make: () => child(...of), made: undefined }, lazily) as unknown as FastifyBaseLogger;
}

const lazily: ProxyHandler<{ readonly make: () => FastifyBaseLogger; made: FastifyBaseLogger | undefined }> = {
  get(lazy, name) {
    lazy.made ??= lazy.make();
    return Reflect.get(lazy.made, name);
  },
};
