// Console of a gateway of one process.
import type { FastifyInstance } from 'fastify';
import type { RunningParts } from '../gateway/admin/admin-source.ts';
import { createConsole } from './console.ts';
import { createProcessSource } from './process-source.ts';

/** Creates the console's application for the gateway with these parts. */
export function createGatewayConsole(parts: RunningParts): Promise<FastifyInstance> {
  const process = { worker: undefined, source: createProcessSource(parts) };
  return createConsole({ processes: () => [process], version: parts.version, log: parts.log, now: parts.now });
}
