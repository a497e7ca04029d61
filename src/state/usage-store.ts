// Store of what callers have used of their limits, in memory and bounded: a bucket in use is never forgotten.

/** The used part of one bucket. */
export interface Usage {
  /** Calls. */
  used: number;
  /** When that was so; milliseconds since 1970, as below. */
  at: number;
  /** When it is whole again, and need not be held. */
  until: number;
  readonly holder: string;
  /** It is that of all keys for which there was no room. */
  readonly isShared: boolean;
}

/** The store. */
export interface UsageStore {
  /**
   * The usage of a key of a limit; a new one counts in the share of its holder. Without room a holder's further keys share one bucket, and
   * in a full store all new keys of the limit share one: whoever has a bucket keeps it.
   */
  of(limit: string, key: string, holder: string): Usage;
}

/** Bounds of the store. */
export interface UsageBounds {
  readonly keys: number;
  /** Of one holder; callers whom nobody has verified have half of all keys together. */
  readonly keysPerHolder: number;
}

/** Between two looks for what can be forgotten, in a full store. */
const sweepMs = 1000;
const spareKeys = 1024;

/** The holder of the keys of all callers whom nobody has verified. */
export const unverified = '';

/** Creates an empty store. `now` is in milliseconds since 1970. */
export function createUsageStore({ keys, keysPerHolder }: UsageBounds, now: () => number): UsageStore {
  const usages = new Map<string, Usage>();
  const held = new Map<string, number>();
  let forgetAt = spareKeys;
  let sweptMs = 0;

  function forget(): void {
    sweptMs = now();
    for (const [key, { holder, until }] of usages) {
      if (until > sweptMs) continue;
      usages.delete(key);
      const left = (held.get(holder) ?? 1) - 1;
      if (left === 0) held.delete(holder);
      else held.set(holder, left);
    }
    forgetAt = Math.min(keys, 2 * usages.size + spareKeys);
  }

  function hasRoom(holder: string): boolean {
    return usages.size < keys && (held.get(holder) ?? 0) < (holder === unverified ? keys / 2 : keysPerHolder);
  }

  function create(key: string, holder: string, isShared: boolean): Usage {
    const usage = { used: 0, at: now(), until: 0, holder, isShared };
    usages.set(key, usage);
    held.set(holder, (held.get(holder) ?? 0) + 1);
    return usage;
  }

  return {
    of(limit, key, holder) {
      const own = `${limit}\n${key}`;
      const known = usages.get(own);
      if (known !== undefined) return known;
      const isDue = usages.size >= forgetAt && usages.size < keys;
      // A clock that was set back delays no look.
      if (isDue || (!hasRoom(holder) && Math.abs(now() - sweptMs) >= sweepMs)) forget();
      if (hasRoom(holder)) return create(own, holder, false);
      const isOfHolder = usages.size < keys || holder === unverified;
      const shared = isOfHolder ? `${limit}\n\n${holder}` : `${limit}\n\n\n`;
      return usages.get(shared) ?? create(shared, shared, true);
    },
  };
}
