// Events of `portcullis dev` from audit records, which hold no secret. Pure.
import { type AuditRecord, requestsIn } from '../../audit/reading/record.ts';
import { callOf } from '../audit/audit-tail.ts';
import type { DevelopmentEvent, RequestLine } from './event.ts';

/** The event of a record; undefined for one that tells of no request that has ended and of no reload. */
export function eventOf(record: AuditRecord): DevelopmentEvent | undefined {
  const time = record.time ?? '';
  if (record.stage === 'completed') return { event: 'request', ...requestOf(record, time) };
  if (record.stage !== 'config') return undefined;
  const { event, problem } = Object(record.detail) as { readonly event?: unknown; readonly problem?: unknown };
  if (event === 'reloaded') return { event: 'reload', time, policy: record.policy };
  if (event === 'reload refused' || event === 'shadow refused' || event === 'revocation list refused') {
    return { event: 'reload refused', time, problem: String(problem) };
  }
  return undefined;
}

function requestOf(record: AuditRecord, time: string): RequestLine {
  const { client, decision, durationMs, id, outcome, principal, reason, rule, status } = record;
  return {
    time,
    id,
    who: principal?.clientId ?? principal?.subject ?? client?.address ?? '-',
    call: callOf(record),
    ...(decision !== undefined && { decision }),
    ...(rule !== undefined && { rule }),
    ...(reason !== undefined && { reason }),
    ...(typeof status === 'number' && { status }),
    ...(typeof durationMs === 'number' && { ms: durationMs }),
    ...(outcome !== undefined && outcome !== 'completed' && outcome !== 'refused' && { outcome }),
    requests: requestsIn(record),
  };
}
