// Taking of a call from all limits that it is under: from each, or from none.
import { GatewayError } from '../errors.ts';
import type { Consumption, KeyOrigin, SharedState } from '../state/shared-state.ts';
import { unverified } from '../state/usage-store.ts';
import type { LimitedCall } from './bucket-key.ts';
import type { Limit } from './limit.ts';

/** The part of a limit that a call took, or did not get. */
export interface Taken {
  readonly limit: Limit;
  readonly key: string;
  readonly holder: string;
  readonly origin: KeyOrigin;
  /** When it was taken; milliseconds since 1970. */
  readonly at: number;
  readonly consumption: Consumption;
}

/** Takes from each limit in turn, up to one that is used up; that one is then the last. Throws what the state throws, and then has given back the others. */
export async function takeFrom(
  limits: Iterable<Limit>,
  call: LimitedCall,
  state: SharedState,
  now: () => number,
): Promise<readonly Taken[]> {
  const taken: Taken[] = [];
  const holder = call.caller?.subjectKey ?? unverified;
  try {
    for (const limit of limits) {
      const key = limit.keyOf(call);
      const at = now();
      const origin = limit.originOf(call);
      const consumption = await state.limiter(limit.name, limit.size).consume(key, holder, origin);
      taken.push({ limit, key, holder, origin, at, consumption });
      if (!consumption.allowed) break;
    }
  } catch (error) {
    await giveBack(taken, state, now);
    throw error;
  }
  return taken;
}

/** Gives back what a call took that was then not carried out. A failure leaves it taken. */
export async function giveBack(taken: readonly Taken[], state: SharedState, now: () => number): Promise<void> {
  for (const { at, consumption, holder, key, limit, origin } of taken) {
    if (consumption.allowed && isStillCounted(limit, at, now())) {
      await state
        .limiter(limit.name, limit.size)
        .giveBack(key, holder, origin)
        .catch(() => {});
    }
  }
}

/** A quota that has begun anew does not know the call. */
function isStillCounted({ size }: Limit, at: number, now: number): boolean {
  return size.kind === 'bucket' || Math.floor(at / size.windowMs) === Math.floor(now / size.windowMs);
}

/** Seconds, rounded up, so that nobody is asked to come back too early. */
function secondsOf(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}

/** Response headers `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10). */
export function rateLimitHeaders(taken: readonly Taken[]): Record<string, string> {
  const remaining = taken.map(({ consumption, limit }) => {
    const { allowed, resetMs, retryAfterMs } = consumption;
    return `"${limit.name}";r=${consumption.remaining};t=${secondsOf(allowed ? resetMs : retryAfterMs)}`;
  });
  return { 'ratelimit-policy': taken.map(({ limit }) => limit.policyItem).join(', '), ratelimit: remaining.join(', ') };
}

/** The refusal of a call over a limit. It names the limit, and when to call again. */
export function overLimit({ consumption, limit }: Taken): GatewayError {
  const { name, size, words } = limit;
  const seconds = secondsOf(consumption.retryAfterMs);
  const wait = `Wait ${seconds} second${seconds === 1 ? '' : 's'} before you call again`;
  const advice =
    size.kind === 'window' ? `${wait}; until then every such call is refused.` : `${wait}, and call less often.`;
  return new GatewayError('rate_limited', `This call is over the limit ${name} of this gateway: ${words}. ${advice}`, {
    reason: name,
    headers: { 'retry-after': String(seconds) },
    detail: { limit: name, ...(consumption.isShared && { bucket: 'shared' }) },
  });
}
