// Limits of calls: their schema, and their size as a token bucket or a quota in fixed windows of UTC.
import * as z from 'zod';
import { quota, rate, text } from '../config/schema/values.ts';
import type { KeyOrigin, LimitSize } from '../state/shared-state.ts';
import { compileBucketKey, compileKeyOrigin, type LimitedCall } from './bucket-key.ts';

/** The schema of one limit. */
export const limit = z.strictObject({
  rate: rate.optional().describe('So many calls in a time, such as 30/m, refilled evenly: a token bucket.'),
  burst: z
    .int()
    .min(1)
    .max(1_000_000_000)
    .optional()
    .describe('Calls of a rate that may come at once; default its number.'),
  quota: quota.optional().describe('So many calls in a minute, hour or day of UTC, such as 500/d.'),
  per: z
    .array(text)
    .max(16)
    .default([])
    .describe(
      'The values that each have a bucket of their own: address, credential, client, subject, tool, route, or a mapped claim such as tenant; default one bucket for all calls.',
    ),
});

export type LimitConfig = z.output<typeof limit>;

/** It stands in response headers (`RateLimit`), records and metrics. */
export const limitName = z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/, 'expected a name of letters, digits and _ . -');

/** The names of limits that a route or a rule is under. */
export const limitNames = z.array(text).max(16);

/** A compiled limit. */
export interface Limit {
  readonly name: string;
  readonly size: LimitSize;
  readonly per: readonly string[];
  /** The member of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10 §3). */
  readonly policyItem: string;
  /** Public, such as `30 in a minute, 10 at once` or `500 in each day of UTC`. */
  readonly words: string;
  /** Key of the bucket that a call is taken from. */
  readonly keyOf: (call: LimitedCall) => string;
  /** Origin of that key. */
  readonly originOf: (call: LimitedCall) => KeyOrigin;
}

const unitWords: Readonly<Record<number, string>> = {
  1000: 'second',
  60000: 'minute',
  3600000: 'hour',
  86400000: 'day',
};

/** Compiles the limits of a configuration without errors. */
export function compileLimits(configs: Readonly<Record<string, LimitConfig>>): ReadonlyMap<string, Limit> {
  return new Map(Object.entries(configs).map(([name, config]) => [name, compileLimit(name, config)]));
}

function compileLimit(name: string, { burst, per, quota, rate }: LimitConfig): Limit {
  const { count, perMs } = (rate ?? quota)!;
  const atOnce = burst ?? count;
  const size: LimitSize =
    rate === undefined
      ? { kind: 'window', points: count, windowMs: perMs }
      : { kind: 'bucket', burst: atOnce, intervalMs: perMs / count };
  const unit = unitWords[perMs];
  const words =
    rate === undefined
      ? `${count} in each ${unit} of UTC`
      : `${count} in a ${unit}${atOnce === count ? '' : `, ${atOnce} at once`}`;
  return {
    name,
    size,
    per,
    policyItem: `"${name}";q=${count};w=${perMs / 1000}`,
    words,
    keyOf: compileBucketKey(per),
    originOf: compileKeyOrigin(per),
  };
}
