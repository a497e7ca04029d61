// State of one process: its own memory, which ends with it.
import { randomBytes } from 'node:crypto';
import { createBoundedCache } from '../bounded-cache.ts';
import { createExpiringSet, type ExpiringSet, type ExpiringSetLimits } from '../oauth/expiring-set.ts';
import { createMemoryLimiter } from './memory-limiter.ts';
import type { Limiter, LimitSize, SharedState } from './shared-state.ts';
import { createUsageStore, type UsageBounds } from './usage-store.ts';

/** Options of `createLocalState`. */
export interface LocalStateOptions {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Claims that are kept, for each space. */
  readonly claims?: ExpiringSetLimits;
  /** Buckets that are held. */
  readonly buckets?: UsageBounds;
}

interface SizedLimiter {
  readonly size: LimitSize;
  readonly limiter: Limiter;
}

/** At 65 s for each DPoP proof these are 3,000 proofs a second, of one caller a quarter of that. */
const defaultClaims = { entries: 200_000, entriesPerCaller: 50_000 };
/** Bounds of the buckets of limits. About 25 MB for those that callers make up, and as much for others. */
export const defaultBuckets = { keys: 100_000, keysPerHolder: 1000 };
const maxSecrets = 64;

/** Creates an empty state. It never throws. */
export function createLocalState({
  now,
  buckets = defaultBuckets,
  claims = defaultClaims,
}: LocalStateOptions): SharedState {
  const spaces = new Map<string, ExpiringSet>();
  const limiters = new Map<string, SizedLimiter>();
  const usages = createUsageStore(buckets, now);
  const secrets = createBoundedCache<{ readonly key: Buffer; readonly until: number }>({ entries: maxSecrets });
  return {
    async claim(space, caller, id, keepMs) {
      let set = spaces.get(space);
      if (set === undefined) {
        set = createExpiringSet(claims);
        spaces.set(space, set);
      }
      return set.add(caller, id, keepMs, now());
    },
    limiter(name, size) {
      const known = limiters.get(name);
      if (known?.size === size) return known.limiter;
      const limiter = createMemoryLimiter(name, size, usages, now);
      limiters.set(name, { size, limiter });
      return limiter;
    },
    async secret(name, keepMs) {
      let known = secrets.get(name);
      if (known === undefined || now() >= known.until) {
        known = { key: randomBytes(32), until: now() + keepMs };
        secrets.set(name, known);
      }
      return known.key;
    },
  };
}
