// Limits in the memory of a process: token buckets by the generic cell rate algorithm, and fixed windows.
import { createBoundedCache } from '../bounded-cache.ts';
import type { Consumption, Limiter, LimitSize } from './shared-state.ts';

/** Keys of one limit that are held; the ones not seen for longest leave. */
const maxKeys = 100_000;

/** `until`: the theoretical arrival time of a bucket, the end of a window. */
interface Usage {
  until: number;
  used: number;
}

/** Creates a limit whose size may change: `size` is asked for each request. */
export function createMemoryLimiter(size: () => LimitSize, now: () => number): Limiter {
  const usages = createBoundedCache<Usage>({ entries: maxKeys });
  return {
    async consume(key) {
      let usage = usages.get(key);
      if (usage === undefined) {
        usage = { until: 0, used: 0 };
        usages.set(key, usage);
      }
      const limit = size();
      return limit.kind === 'bucket' ? takeToken(usage, limit, now()) : countInWindow(usage, limit, now());
    },
  };
}

function takeToken(
  usage: Usage,
  { burst, intervalMs }: Extract<LimitSize, { kind: 'bucket' }>,
  now: number,
): Consumption {
  // A clock that was set back, or a smaller size, prolongs nothing.
  const debt = Math.min(Math.max(0, usage.until - now), burst * intervalMs);
  const retryAfterMs = Math.max(0, debt - (burst - 1) * intervalMs);
  if (retryAfterMs > 0) return { allowed: false, remaining: 0, retryAfterMs, resetMs: debt };
  const resetMs = debt + intervalMs;
  usage.until = now + resetMs;
  return { allowed: true, remaining: Math.floor(burst - resetMs / intervalMs), retryAfterMs: 0, resetMs };
}

function countInWindow(
  usage: Usage,
  { points, windowMs }: Extract<LimitSize, { kind: 'window' }>,
  now: number,
): Consumption {
  const end = Math.floor(now / windowMs + 1) * windowMs;
  if (usage.until !== end) Object.assign(usage, { until: end, used: 0 });
  const resetMs = end - now;
  if (usage.used >= points) return { allowed: false, remaining: 0, retryAfterMs: resetMs, resetMs };
  usage.used += 1;
  return { allowed: true, remaining: points - usage.used, retryAfterMs: 0, resetMs };
}
