// Limits in Redis: token buckets by the generic cell rate algorithm, and fixed windows, each in one script by the server's clock.
import RateLimiterRedis from 'rate-limiter-flexible/lib/RateLimiterRedis.js';
import RateLimiterRes from 'rate-limiter-flexible/lib/RateLimiterRes.js';
import { createBoundedCache } from '../../bounded-cache.ts';
import type { Consumption, Limiter, LimitSize } from '../shared-state.ts';
import type { UsageStore } from '../usage-store.ts';

/** Sends a script about one key. Throws a StateFailure, also for a reply that is no pair of numbers. */
export type RunScript = (script: string, key: string, args: readonly string[]) => Promise<readonly [number, number]>;

/** Dependencies of the limits. */
export interface RedisLimiterOptions {
  /** Of all limits. Together with a key of the limit it is one that Redis may show to anybody. */
  readonly keyPrefix: string;
  readonly run: RunScript;
  /** Of this process: bounds the keys that it makes. Without room a call is refused: other replicas, which have room, know of no shared bucket. */
  readonly usages: UsageStore;
  /** The form of a key in Redis. */
  readonly digest: (key: string) => string;
  readonly now: () => number;
}

/*
 * ARGV[1] is the change, 1 or -1; ARGV[3] are the points, ARGV[4] the milliseconds for all of them. A script yields the points that are used, more
 * than there are for a refused request, and milliseconds: until the limit is whole, or until the next request is allowed. A key ends when its limit is
 * whole.
 */
const bucketScript = `
local points, whole = tonumber(ARGV[3]), tonumber(ARGV[4])
local change = tonumber(ARGV[1]) * whole / points
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local debt = math.min(math.max(0, tonumber(redis.call('GET', KEYS[1]) or 0) - now), whole)
local wait = debt + change - whole
if change > 0 and wait > 0.001 then return {points + 1, math.ceil(wait)} end
debt = math.max(0, debt + change)
redis.call('SET', KEYS[1], string.format('%.3f', now + debt), 'PX', math.max(1, math.ceil(debt)))
return {math.ceil(debt * points / whole - 0.001), math.ceil(debt)}`;

const windowScript = `
local points, window = tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local rest = window - now % window
local used = math.max(0, tonumber(redis.call('GET', KEYS[1]) or 0) + tonumber(ARGV[1]))
if used > points then return {points + 1, rest} end
redis.call('SET', KEYS[1], used, 'PXAT', now + rest)
return {used, rest}`;

/** Keys of one limit whose refusals are remembered: a caller beyond its limit costs no question. */
const maxRefused = 10_000;

/** Creates the limit of this name and size. It throws StateFailures. */
export function createRedisLimiter(name: string, size: LimitSize, options: RedisLimiterOptions): Limiter {
  const { digest, keyPrefix, now, run, usages } = options;
  const isBucket = size.kind === 'bucket';
  const points = isBucket ? size.burst : size.points;
  const wholeMs = isBucket ? size.burst * size.intervalMs : size.windowMs;
  const refused = createBoundedCache<{ readonly untilMs: number }>({ entries: maxRefused });
  const store = new RateLimiterRedis({
    storeClient: {
      eval: (script: string, { keys, arguments: args }: { keys: [string]; arguments: string[] }) =>
        run(script, keys[0], args),
    },
    useRedisPackage: true,
    keyPrefix: `${keyPrefix}${name}`,
    points,
    // In milliseconds: the library counts in whole seconds, and the scripts take no notice of them.
    duration: Math.max(1, wholeMs),
    customIncrTtlLuaScript: isBucket ? bucketScript : windowScript,
  });
  const refusal = (retryAfterMs: number): Consumption => ({
    ...{ allowed: false, remaining: 0, retryAfterMs },
    resetMs: isBucket ? retryAfterMs + (points - 1) * size.intervalMs : retryAfterMs,
  });

  async function ask(key: string): Promise<Consumption> {
    const waitMs = (refused.get(key)?.untilMs ?? 0) - now();
    // A clock that was set back prolongs nothing.
    if (waitMs > 0 && waitMs <= wholeMs) return refusal(waitMs);
    try {
      const { msBeforeNext, remainingPoints } = await store.consume(key);
      return { allowed: true, remaining: remainingPoints, retryAfterMs: 0, resetMs: msBeforeNext };
    } catch (answer) {
      if (!(answer instanceof RateLimiterRes)) throw answer;
      refused.set(key, { untilMs: now() + answer.msBeforeNext });
      return refusal(answer.msBeforeNext);
    }
  }

  return {
    async consume(key, holder, origin) {
      const usage = usages.of(name, key, holder, origin);
      if (usage === undefined || usage.isShared) return { ...refusal(wholeMs), isShared: true };
      // In use from the question on.
      if (usage.until <= now()) usage.until = now() + wholeMs;
      const consumption = await ask(digest(key));
      usage.until = now() + consumption.resetMs;
      return consumption;
    },
    async giveBack(key, holder, origin) {
      const usage = usages.of(name, key, holder, origin);
      if (usage === undefined || usage.isShared) return;
      const asked = digest(key);
      refused.delete(asked);
      await store.reward(asked);
    },
  };
}
