// Warning of a process that may open fewer files than its configuration has connections.
import type { LoadedConfig } from '../../config/load.ts';
import { connectionCeiling } from '../../http/connection/listener.ts';
import type { Log } from '../../log.ts';

/** Says so in the log, where the limit of open files is too low. */
export function warnOfFewDescriptors({ config }: LoadedConfig, log: Log): void {
  const { connections } = config.server.limits;
  const possible = connectionCeiling();
  if (possible < connections) {
    log.info(
      `server.limits.connections is ${connections}, but the process may open too few files: ${possible} are accepted`,
    );
  }
}
