// Replay store of DPoP proofs (RFC 9449 §11.1). Bounded: a proof that cannot be stored is not accepted.

/** The memory of used proofs. */
export interface ReplayStore {
  /**
   * Adds a proof: `fresh` once for each id of a key, and then `replayed` for `keepMs`. `full` where it cannot be stored; it must not be accepted, since it
   * may have been used.
   */
  add(key: string, id: string, keepMs: number, nowMs: number): 'fresh' | 'replayed' | 'full';
}

/** Bounds of the memory. */
export interface ReplayLimits {
  readonly entries: number;
  /** Of one key, so that a single client cannot fill the store. */
  readonly entriesPerKey: number;
}

/** At 65 s for each proof these are 3,000 proofs a second, of one client a quarter of that. */
const defaults: ReplayLimits = { entries: 200_000, entriesPerKey: 50_000 };

interface Entry {
  readonly key: string;
  readonly until: number;
}

/** Creates an empty store. `id` should be a digest: it is what takes the room. */
export function createReplayStore(limits: ReplayLimits = defaults): ReplayStore {
  /** In the order in which they came, which is nearly that in which they go. */
  const entries = new Map<string, Entry>();
  const perKey = new Map<string, number>();

  function evictExpired(nowMs: number): void {
    for (const [id, { key, until }] of entries) {
      if (nowMs < until) return;
      entries.delete(id);
      const left = perKey.get(key)! - 1;
      if (left === 0) perKey.delete(key);
      else perKey.set(key, left);
    }
  }

  return {
    add(key, id, keepMs, nowMs) {
      evictExpired(nowMs);
      if (entries.has(id)) return 'replayed';
      const ofKey = perKey.get(key) ?? 0;
      if (entries.size >= limits.entries || ofKey >= limits.entriesPerKey) return 'full';
      entries.set(id, { key, until: nowMs + keepMs });
      perKey.set(key, ofKey + 1);
      return 'fresh';
    },
  };
}
