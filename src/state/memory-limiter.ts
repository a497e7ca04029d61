// Limits in the memory of a process: token buckets, and quotas in fixed windows of UTC.
import RateLimiterRes from 'rate-limiter-flexible/lib/RateLimiterRes.js';
import RateLimiterStoreAbstract from 'rate-limiter-flexible/lib/RateLimiterStoreAbstract.js';
import type { Consumption, KeyOrigin, Limiter, LimitSize } from './shared-state.ts';
import type { Usage, UsageStore } from './usage-store.ts';

/** Calls that are used, the one that was asked for among them: where it is refused, more than there may be. */
interface Counted extends Pick<Consumption, 'retryAfterMs' | 'resetMs'> {
  readonly used: number;
}

/** Divisions leave less than this of a call. */
const tolerance = 1e-6;

/**
 * Creates a limit upon a store. This is one more store of the library, whose own memory has a timer for each key, reads the clock itself and has no
 * bound.
 */
export function createMemoryLimiter(name: string, size: LimitSize, store: UsageStore, now: () => number): Limiter {
  const points = size.kind === 'bucket' ? size.burst : size.points;
  const count = (usage: Usage, change: number): Counted =>
    size.kind === 'bucket' ? countInBucket(usage, change, size, now()) : countInWindow(usage, change, size, now());
  const wholeMs = size.kind === 'bucket' ? size.burst * size.intervalMs : size.windowMs;
  const noRoom: Counted & Shared = { used: points + 1, retryAfterMs: wholeMs, resetMs: wholeMs, isShared: true };
  const limiter = Object.assign(
    new RateLimiterStoreAbstract({ storeClient: store, points, duration: 1, keyPrefix: '' }),
    {
      async _upsert(
        key: string,
        change: number,
        _ms: number,
        _force: boolean,
        { holder, origin }: { readonly holder: string; readonly origin: KeyOrigin },
      ) {
        const usage = store.of(name, key, holder, origin);
        if (usage === undefined) return noRoom;
        return { ...count(usage, change), isShared: usage.isShared };
      },
      _getRateLimiterRes(_key: string, _change: number, { isShared, resetMs, retryAfterMs, used }: Counted & Shared) {
        const remaining = Math.max(0, Math.floor(points - used + tolerance));
        return Object.assign(new RateLimiterRes(remaining, retryAfterMs, used), { isShared, resetMs });
      },
    },
  );
  return {
    async consume(key, holder, origin) {
      try {
        return consumptionOf(await limiter.consume(key, 1, { holder, origin }), true);
      } catch (refused) {
        if (refused instanceof RateLimiterRes) return consumptionOf(refused, false);
        throw refused;
      }
    },
    async giveBack(key, holder, origin) {
      await limiter.reward(key, 1, { holder, origin });
    },
  };
}

type Shared = Pick<Usage, 'isShared'>;

function consumptionOf(result: RateLimiterRes, allowed: boolean): Consumption {
  const { isShared, msBeforeNext, remainingPoints, resetMs } = result as RateLimiterRes & Counted & Shared;
  return { allowed, remaining: remainingPoints, retryAfterMs: msBeforeNext, resetMs, ...(isShared && { isShared }) };
}

function countInBucket(
  usage: Usage,
  change: number,
  { burst, intervalMs }: Extract<LimitSize, { kind: 'bucket' }>,
  now: number,
): Counted {
  const refilled = Math.max(0, now - usage.at) / intervalMs;
  usage.used = Math.max(0, Math.min(usage.used, burst) - refilled);
  // A clock that was set back prolongs nothing.
  usage.at = now;
  const used = Math.max(0, usage.used + change);
  const isAllowed = used <= burst + tolerance;
  if (isAllowed) usage.used = used;
  const resetMs = wholeMs(usage.used * intervalMs);
  usage.until = now + resetMs;
  return {
    used: isAllowed ? Math.min(used, burst) : used,
    retryAfterMs: isAllowed ? 0 : wholeMs((used - burst) * intervalMs),
    resetMs,
  };
}

function wholeMs(ms: number): number {
  return Math.ceil(ms - tolerance);
}

function countInWindow(
  usage: Usage,
  change: number,
  { points, windowMs }: Extract<LimitSize, { kind: 'window' }>,
  now: number,
): Counted {
  const until = Math.floor(now / windowMs + 1) * windowMs;
  if (usage.until !== until) Object.assign(usage, { until, used: 0 });
  const used = Math.max(0, usage.used + change);
  const resetMs = until - now;
  if (used > points) return { used, retryAfterMs: resetMs, resetMs };
  usage.used = used;
  return { used, retryAfterMs: 0, resetMs };
}
