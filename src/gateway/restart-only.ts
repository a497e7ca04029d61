// Keys of the configuration that need a restart.
import type { LoadedConfig } from '../config/load.ts';

/** Throws for a change of keys that a bound socket depends on. */
export function refuseRestartOnly(current: LoadedConfig, next: LoadedConfig): void {
  const changed = [
    current.config.server.listen !== next.config.server.listen && 'server.listen',
    current.config.admin.listen !== next.config.admin.listen && 'admin.listen',
    current.config.server.workers !== next.config.server.workers && 'server.workers',
    (current.config.server.tls === undefined) !== (next.config.server.tls === undefined) && 'server.tls (on or off)',
    (current.config.admin.tls === undefined) !== (next.config.admin.tls === undefined) && 'admin.tls (on or off)',
  ].filter((key) => key !== false);
  if (changed.length > 0) throw new Error(`${changed.join(' and ')} cannot change while the gateway runs; restart it`);
}
