// Checks of the `audit` section across keys: each sink has a place of its own, and one of them is required.
import type { Reporter } from '../config/schema/reporter.ts';
import type { AuditConfig } from './schema.ts';
import { sinkTypeOf } from './sink-types.ts';

/** `files` are those that the configuration reads, by path. */
export function checkAudit(audit: AuditConfig, reporter: Reporter, files: ReadonlyMap<string, unknown>): void {
  const seen = new Map<string, number>();
  audit.sinks.forEach((sink, index) => {
    const type = sinkTypeOf(sink);
    const key = type.key(sink);
    const first = seen.get(key);
    if (first === undefined) seen.set(key, index);
    else reporter.error(['audit', 'sinks', index], `writes to the same place as sinks[${first}]`);
    type.check?.(sink, {
      isRead: (path) => files.has(path),
      error: (name, message) => reporter.error(['audit', 'sinks', index, name], message),
    });
  });
  if (audit.onFailure === 'refuse' && audit.sinks.every((sink) => !sink.required)) {
    reporter.warn(['audit', 'sinks'], 'no sink is required: requests go on while no record can be written');
  }
}
