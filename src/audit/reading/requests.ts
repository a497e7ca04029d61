// Requests of an audit log: the `decided` and the `completed` record of each as one. Pure.
import type { AuditRecord } from './record.ts';

/** Requests that were allowed and are not completed are held, and no more of them than this. */
const maxOpen = 100_000;

/** Finds requests among records in their order. */
export interface RequestPairing {
  take(record: AuditRecord): void;
  /** Gives the requests that have no end. */
  end(): void;
}

/**
 * Gives each request once: as its `completed` record, or without one as its `decided` record. Where a restart of the gateway states an unknown outcome,
 * it is the `decided` record with that outcome. Other records are of no request.
 */
export function pairRequests(visit: (request: AuditRecord) => void): RequestPairing {
  const open = new Map<string, AuditRecord>();

  function close(id: string): AuditRecord | undefined {
    const decided = open.get(id);
    if (decided !== undefined) open.delete(id);
    return decided;
  }

  return {
    take(record) {
      const { id, stage } = record;
      if (stage === 'completed') {
        const decided = close(id);
        visit(decided !== undefined && record.outcome === 'unknown' ? { ...decided, ...record } : record);
      } else if (stage === 'decided') {
        const [oldest] = open.size < maxOpen ? [id] : open.keys();
        const evicted = close(oldest!);
        if (evicted !== undefined) visit(evicted);
        open.set(id, record);
      }
    },
    end() {
      for (const record of open.values()) visit(record);
      open.clear();
    },
  };
}
