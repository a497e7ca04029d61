// Expiring set: ids that are kept for a time, bounded in all and for each caller.

import { createKeyedCounts } from '../keyed-counts.ts';

/** A set whose members leave by themselves. */
export interface ExpiringSet {
  has(id: string, nowMs: number): boolean;
  /** Adds an id for `keepMs`: `added` once, and then `present`. `full` where there is no room for it. */
  add(caller: string, id: string, keepMs: number, nowMs: number): 'added' | 'present' | 'full';
}

/** Bounds of the set. */
export interface ExpiringSetLimits {
  readonly entries: number;
  readonly entriesPerCaller: number;
}

interface Entry {
  readonly id: string;
  readonly caller: { entries: number };
  readonly from: number;
  readonly until: number;
}

/** Expired entries that the list of arrivals may begin with, however short it is. */
const spareArrivals = 1024;

/** Creates an empty set. `id` should be a digest: it is what takes the room. */
export function createExpiringSet(limits: ExpiringSetLimits): ExpiringSet {
  const entries = new Map<string, Entry>();
  /**
   * The entries in the order in which they came, which is nearly that in which they go, from `oldest` on. A list of its own: to find its first member a
   * Map walks over the places of all that have left.
   */
  let arrivals: Entry[] = [];
  let oldest = 0;
  const callers = createKeyedCounts(() => ({ entries: 0 }));

  function evictExpired(nowMs: number): void {
    for (; oldest < arrivals.length; oldest += 1) {
      const { id, caller, until } = arrivals[oldest]!;
      if (nowMs < until) break;
      entries.delete(id);
      caller.entries -= 1;
    }
    if (oldest < spareArrivals || 2 * oldest < arrivals.length) return;
    arrivals = arrivals.slice(oldest);
    oldest = 0;
  }

  return {
    // A clock that was set back prolongs nothing.
    has(id, nowMs) {
      const entry = entries.get(id);
      return entry !== undefined && nowMs >= entry.from && nowMs < entry.until;
    },
    add(caller, id, keepMs, nowMs) {
      evictExpired(nowMs);
      if (entries.has(id)) return 'present';
      const own = callers.of(caller);
      if (entries.size >= limits.entries || own.entries >= limits.entriesPerCaller) return 'full';
      const entry = { id, caller: own, from: nowMs, until: nowMs + keepMs };
      entries.set(id, entry);
      arrivals.push(entry);
      own.entries += 1;
      return 'added';
    },
  };
}
