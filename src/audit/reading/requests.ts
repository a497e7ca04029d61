// Requests of an audit log: the `decided` and the `completed` record of each as one. Pure.
import type { AuditRecord } from './record.ts';

/** Requests whose other record may come are held, and no more of them than this. */
const maxOpen = 50_000;

interface HeldRecord {
  readonly record: AuditRecord;
  readonly line: Buffer;
}

/** Finds requests among records, whichever of the two comes first. */
export interface RequestPairing {
  take(record: AuditRecord, line: Buffer): void;
  /** Gives the requests that have no end. */
  end(): void;
}

/**
 * Gives each request once: as its `completed` record, or without one as its `decided` record. Where a restart of the gateway states an unknown outcome,
 * it is the `decided` record with that outcome. The line is that of the facts. Other records are of no request.
 */
export function pairRequests(visit: (request: AuditRecord, line: Buffer) => void): RequestPairing {
  /** `decided` records, and `completed` ones of an unknown outcome, whose facts are in the other. */
  const open = new Map<string, HeldRecord>();
  /** Requests that were given without a `decided` record: refused ones, and in a reversed log all. */
  const given = new Set<string>();

  function hold(record: AuditRecord, line: Buffer): void {
    const { id } = record;
    const [evictedId] = open.has(id) || open.size < maxOpen ? [id] : open.keys();
    const evicted = open.get(evictedId!);
    open.delete(evictedId!);
    if (evicted !== undefined) visit(evicted.record, evicted.line);
    open.set(id, { record, line: Buffer.from(line) });
  }

  function give(record: AuditRecord, line: Buffer): void {
    if (given.size >= maxOpen) given.delete(given.keys().next().value!);
    given.add(record.id);
    visit(record, line);
  }

  return {
    take(record, line) {
      const { id, stage } = record;
      if (stage !== 'completed' && stage !== 'decided') return;
      const held = open.get(id);
      const other = held?.record.stage === stage ? undefined : held;
      if (other !== undefined) open.delete(id);
      if (stage === 'decided') {
        if (other !== undefined) visit({ ...record, ...other.record }, line);
        else if (!given.delete(id)) hold(record, line);
      } else if (record.outcome === 'unknown') {
        if (other !== undefined) visit({ ...other.record, ...record }, other.line);
        else hold(record, line);
      } else if (other !== undefined) visit(record, line);
      else give(record, line);
    },
    end() {
      for (const { record, line } of open.values()) visit(record, line);
      open.clear();
    },
  };
}
