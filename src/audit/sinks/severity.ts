// Severity of an audit record in the scales of its receivers. Pure.
import type { MappedRecord } from './http/format.ts';

/** A severity in the scales of syslog (RFC 5424 §6.2.1), CEF (0 to 10) and OpenTelemetry (1 to 24). */
export interface Severity {
  readonly name: string;
  readonly syslog: number;
  readonly cef: number;
  readonly otlp: number;
}

/** From least to most. */
const severities = {
  informational: { name: 'informational', syslog: 6, cef: 1, otlp: 9 },
  notice: { name: 'notice', syslog: 5, cef: 3, otlp: 10 },
  warning: { name: 'warning', syslog: 4, cef: 6, otlp: 13 },
  error: { name: 'error', syslog: 3, cef: 8, otlp: 17 },
  critical: { name: 'critical', syslog: 2, cef: 10, otlp: 18 },
} satisfies Record<string, Severity>;

/** Reasons of records that tell of an audit log that somebody else has changed. */
const tampering: ReadonlySet<string> = new Set([
  'audit_truncated',
  'audit_state_missing',
  'foreign_records',
  'file_replaced',
  'file_shrunk',
  'spool_removed',
]);
/** Reasons of records that tell of others that are missing. */
const loss: ReadonlySet<string> = new Set(['recovered', 'overloaded']);

/** The severity of a record. */
export function severityOf({ stage, reason = '', outcome, decision }: MappedRecord): Severity {
  if (stage === 'config' && tampering.has(reason)) return severities.critical;
  if (outcome === 'failed' || (stage === 'config' && loss.has(reason))) return severities.error;
  if (outcome === 'refused' || decision === 'deny') return severities.warning;
  if (outcome === 'aborted' || outcome === 'unknown' || stage === 'config') return severities.notice;
  return severities.informational;
}
