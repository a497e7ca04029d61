// Fastify options of both applications.
import { randomUUID } from 'node:crypto';
import fastify from 'fastify';

/**
 * Fastify itself logs no requests, and an application without `loggerInstance` makes no log for each. No route has a schema, so that the compilers
 * of schemas, a tenth of the modules, are not loaded.
 */
export const fastifyOptions = {
  schemaController: { compilersFactory: { buildValidator: refuseSchema, buildSerializer: refuseSchema } },
  logController: new fastify.LogController({ disableRequestLogging: true, requestIdLogLabel: 'id' }),
  genReqId: () => randomUUID(),
};

function refuseSchema(): never {
  throw new Error('a route has a schema, and there is no compiler for it');
}
