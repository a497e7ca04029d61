// Requests of an audit log: the `decided` and the `completed` record of each as one. Pure.
import type { AuditRecord } from './record.ts';

/** Requests that were allowed and are not completed are held, and no more of them than this. */
const maxOpen = 50_000;

interface OpenRequest {
  readonly record: AuditRecord;
  readonly line: Buffer;
}

/** Finds requests among records in their order. */
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
  const open = new Map<string, OpenRequest>();

  function close(id: string): OpenRequest | undefined {
    const decided = open.get(id);
    if (decided !== undefined) open.delete(id);
    return decided;
  }

  return {
    take(record, line) {
      const { id, stage } = record;
      if (stage === 'completed') {
        const decided = close(id);
        if (decided === undefined || record.outcome !== 'unknown') visit(record, line);
        else visit({ ...decided.record, ...record }, decided.line);
      } else if (stage === 'decided') {
        const [oldest] = open.size < maxOpen ? [id] : open.keys();
        const evicted = close(oldest!);
        if (evicted !== undefined) visit(evicted.record, evicted.line);
        open.set(id, { record, line: Buffer.from(line) });
      }
    },
    end() {
      for (const { record, line } of open.values()) visit(record, line);
      open.clear();
    },
  };
}
