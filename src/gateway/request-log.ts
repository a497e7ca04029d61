// Request log of both applications: the operator's log, whose lines name the request.
import { randomUUID } from 'node:crypto';
import fastify, { type FastifyBaseLogger } from 'fastify';
import type { Log } from '../log.ts';

/** Options of Fastify: `request.log` writes to `log` with the id of the request, and nothing is logged for requests that go well. */
export function logOptions(log: Log) {
  return {
    loggerInstance: log as FastifyBaseLogger,
    logController: new fastify.LogController({ disableRequestLogging: true, requestIdLogLabel: 'id' }),
    genReqId: () => randomUUID(),
  };
}
