// State of one process: its own memory, which ends with it.
import { randomBytes } from 'node:crypto';
import { createBoundedCache } from '../bounded-cache.ts';
import { createExpiringSet, type ExpiringSet, type ExpiringSetLimits } from '../oauth/expiring-set.ts';
import { createMemoryLimiter } from './memory-limiter.ts';
import type { Limiter, LimitSize, SharedState } from './shared-state.ts';

/** Options of `createLocalState`. */
export interface LocalStateOptions {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Claims that are kept, for each space. */
  readonly claims?: ExpiringSetLimits;
}

interface SizedLimiter {
  size: LimitSize;
  readonly limiter: Limiter;
}

/** At 65 s for each DPoP proof these are 3,000 proofs a second, of one caller a quarter of that. */
const defaultClaims = { entries: 200_000, entriesPerCaller: 50_000 };
const maxSecrets = 64;

/** Creates an empty state. It never throws. */
export function createLocalState({ now, claims = defaultClaims }: LocalStateOptions): SharedState {
  const spaces = new Map<string, ExpiringSet>();
  const limiters = new Map<string, SizedLimiter>();
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
      if (known !== undefined) {
        known.size = size;
        return known.limiter;
      }
      const made: SizedLimiter = { size, limiter: createMemoryLimiter(() => made.size, now) };
      limiters.set(name, made);
      return made.limiter;
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
