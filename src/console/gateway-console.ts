// Console of a gateway of one process.
import type { ConsoleApplication } from '../gateway/admin/admin.ts';
import type { RunningParts } from '../gateway/admin/admin-source.ts';
import { createConsole } from './console.ts';
import { createProcessSource } from './process-source.ts';

/** Creates the console's application for the gateway with these parts. */
export function createGatewayConsole(parts: RunningParts): Promise<ConsoleApplication> {
  const process = { worker: undefined, source: createProcessSource(parts) };
  const { current, log, now, runtime, version } = parts;
  return createConsole({
    processes: () => [process],
    admin: () => current().loaded.config.admin,
    isServedHost: (host) => runtime.snapshot.hosts.isServed(host),
    version,
    log,
    now,
  });
}
